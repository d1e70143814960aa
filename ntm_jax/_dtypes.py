"""Promotion of dtypes as in Flax's layers, and carries that keep their dtypes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["cast_like", "promote"]


def promote(*arrays: jax.Array, dtype: Any = None) -> list[jax.Array]:
    """Converts arrays to one floating-point dtype, as Flax's layers do.

    Args:
      *arrays: arrays of any dtypes; integers and booleans become float32.
      dtype: the dtype; None infers it from the arrays.
    """
    with jax.numpy_dtype_promotion("standard"):  # also where implicit promotion is an error
        return nn.dtypes.promote_dtype(*arrays, dtype=dtype)


def cast_like(carry: Any, previous: Any) -> Any:
    """Converts a carry to the dtypes of the previous one, which a scan needs.

    Raises:
      ValueError: an array of the previous carry has integers for floating-point numbers.
    """

    def cast(leaf: jax.Array, like: jax.Array) -> jax.Array:
        if leaf.dtype == like.dtype:
            return leaf
        if not jnp.issubdtype(like.dtype, jnp.inexact):
            raise ValueError(f"carry: expected floating-point numbers, got {like.dtype}")
        return leaf.astype(like.dtype)

    return jax.tree.map(cast, carry, previous)
