"""What every task hands out."""

from typing import NamedTuple

import jax

__all__ = ["Batch"]


class Batch(NamedTuple):
    """Examples of a task. B is the batch, T the padded number of steps.

    Attributes:
      inputs: [B, T, I].
      targets: [B, T, O], in [0, 1].
      mask: [B, T], boolean; true at the steps whose outputs are scored.
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array
