"""Uses the library without the training extra: a pretrained model copies without an error."""

import importlib.metadata
import sys

from ntm_jax import NTMCell, __version__, evaluation, load_pretrained
from ntm_jax.tasks.copy import Copy

assert importlib.metadata.version("ntm_jax") == __version__
model, params = load_pretrained("copy_ntm")
assert isinstance(model.cell, NTMCell)
(result,) = evaluation.evaluate(model, params, Copy(), [5], num_sequences=8)
assert result.bit_errors_per_sequence == 0, result

# Not absl and rich: chex and Flax import those.
extras = {"matplotlib", "ml_collections", "orbax", "tensorboardX"} & sys.modules.keys()
assert not extras, extras
