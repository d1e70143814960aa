"""Checks of module fields and function arguments."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import flax.linen as nn
import jax
import numpy as np

__all__ = ["check_at_least", "check_cell", "type_name"]


def check_at_least(minimum: int, **values: int | Sequence[int]) -> None:
    """Checks integers, and sequences of integers.

    Raises:
      TypeError: a value is no integer.
      ValueError: a value is below `minimum`.
    """
    for name, value in values.items():
        entries = value if isinstance(value, Sequence) else [value]
        if not all(isinstance(entry, Integral) for entry in entries):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        if any(entry < minimum for entry in entries):
            raise ValueError(f"{name}: expected at least {minimum}, got {value}")


def check_cell(name: str, cell: Any) -> None:
    """Checks that an argument is a recurrent cell for inputs [..., I].

    Raises:
      TypeError: it is no cell, such as the class of a cell.
      ValueError: its inputs have several feature axes, such as those of a convolutional cell.
    """
    if not isinstance(cell, nn.RNNCellBase):
        raise TypeError(f"{name}: expected an RNN cell, such as LSTM(100), got {type_name(cell)}")
    if cell.num_feature_axes != 1:
        raise ValueError(
            f"{name}: expected an RNN cell with one feature axis, got {type(cell).__name__} with "
            f"{cell.num_feature_axes}"
        )


def type_name(value: Any) -> str:
    """Returns what a value is, for an error message."""
    if isinstance(value, jax.Array | np.ndarray):
        return "an array"
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
