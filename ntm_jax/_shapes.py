"""Shapes of arguments, asserted by chex first of all: broadcasting hides misplaced axes."""

from typing import Any

import chex
import numpy as np

__all__ = ["check_shapes"]


def check_shapes(**arguments: tuple[Any, str]) -> None:
    """Checks ranks and sizes: a letter stands for an axis, and for one size in all arguments.

        check_shapes(memory=(memory, "NM"), weights=(weights, "N"))

    Args:
      **arguments: by its name, each argument with a letter for each of its axes.

    Raises:
      AssertionError: names the first argument that does not fit those before it, the shape that
        was expected, with the letters of sizes that are free, and the one that came.
    """
    sizes: dict[str, int] = {}
    for name, (array, letters) in arguments.items():
        expected = [sizes.get(letter) for letter in letters]
        try:
            chex.assert_shape(array, expected)
        except AssertionError:
            shown = [str(size or letter) for size, letter in zip(expected, letters, strict=True)]
            raise AssertionError(
                f"{name}: expected shape ({', '.join(shown)}{',' * (len(shown) == 1)}), "
                f"got {np.shape(array)}"
            ) from None
        sizes.update(zip(letters, np.shape(array), strict=True))
