"""Initializers of the memory and of the first weightings.

They are called as those of `flax.linen.initializers` are, with a key, a shape and a dtype; Flax's
own initializers work in their place. docs/initialization.md compares them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["Initializer", "first_slot_marker", "one_hot_weighting", "uniform_weighting"]

Initializer = Callable[[jax.Array, tuple[int, ...], Any], jax.Array]


def first_slot_marker(value: float = 0.1) -> Initializer:
    """Returns an initializer of a memory that is zero except for slot 0.

    Args:
      value: every element of slot 0.

    Returns:
      An initializer for the shape (N, M).
    """
    return _FirstSlotMarker(value)


@dataclasses.dataclass(frozen=True)
class _FirstSlotMarker:
    """Equal for equal values, so that cells are equal too and `jax.jit` compiles them once."""

    value: float

    def __call__(
        self, key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> jax.Array:
        del key
        return jnp.zeros(shape, dtype).at[0].set(self.value)


def one_hot_weighting(
    key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> jax.Array:
    """Initializes all heads on slot 0; the shape is (heads, N)."""
    del key
    return jnp.zeros(shape, dtype).at[..., 0].set(1.0)


def uniform_weighting(
    key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> jax.Array:
    """Initializes all heads with equal weights on all slots; the shape is (heads, N)."""
    del key
    return jnp.full(shape, 1.0 / shape[-1], dtype)
