"""Memory that arrays take, and memory that the devices have.

On a CPU an allocation that is too large ends in the kernel's out-of-memory killer, without any
message; callers compare a lower bound of what they need with `available_bytes` before that.
"""

import os
from typing import Any

import flax.linen as nn
import jax

__all__ = ["available_bytes", "carry_bytes", "tree_bytes"]


def tree_bytes(tree: Any) -> int:
    """Returns the size of all arrays, or shapes, of a tree in bytes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def carry_bytes(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Returns the size in bytes of the carry of a recurrent model; 0 for any other model.

    Args:
      model: a module; its field `cell`, if there is one, has the carry.
      input_shape: shape of the inputs of one time step, (..., I).
    """
    if not hasattr(model, "cell"):
        return 0
    return tree_bytes(
        jax.eval_shape(lambda: model.cell.initialize_carry(jax.random.key(0), input_shape))
    )


def available_bytes() -> int:
    """Returns the memory of all devices, or of this host if its devices do not report theirs."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] * jax.device_count()
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
