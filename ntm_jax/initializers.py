"""What a machine starts from: initializers of the memory and of the first weightings.

Each is called with a key, a shape and a dtype, as those of `flax.linen.initializers` are, any of
which will do in their place.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["Initializer", "marked_memory", "one_hot_weights", "uniform_weights"]

Initializer = Callable[[jax.Array, tuple[int, ...], Any], jax.Array]


def marked_memory(mark: float = 0.1) -> Initializer:
    """Initial memory of zeros but for slot 0, like a blank tape whose left end is marked.

    Args:
      mark: every number of slot 0.

    Returns:
      What makes it from a key, the shape (N, M) and a dtype.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        del key
        return jnp.zeros(shape, dtype).at[0].set(mark)

    return init


def one_hot_weights(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """First weighting with every head on slot 0: shape [heads, N]."""
    del key
    return jnp.zeros(shape, dtype).at[..., 0].set(1.0)


def uniform_weights(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """First weighting spread over all slots: shape [heads, N]."""
    del key
    return jnp.full(shape, 1.0 / shape[-1], dtype)
