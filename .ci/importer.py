"""What the library alone can do: the cell, and a machine that ships, which copies."""

from ntm_jax import load_pretrained
from ntm_jax.evaluation import scoring
from ntm_jax.cell import NTMCell
from ntm_jax.tasks.copy import Copy

model, params = load_pretrained("copy_ntm")
assert isinstance(model.cell, NTMCell)
(result,) = scoring.evaluate(model, params, Copy(), [5], num_sequences=8)
assert result.bit_errors_per_sequence == 0, result
