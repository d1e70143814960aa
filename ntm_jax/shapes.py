"""Shapes of arguments, checked before any arithmetic, as broadcasting hides misplaced axes."""

from typing import Any

import numpy as np

__all__ = ["check_shapes"]


def check_shapes(**arguments: tuple[Any, str]) -> None:
    """Checks ranks and sizes: a letter stands for an axis, and for one size wherever it comes.

        check_shapes(memory=(memory, "NM"), weights=(weights, "N"))

    Args:
      **arguments: by its name, each argument with a letter for each of its axes.

    Raises:
      AssertionError: names the first argument that does not fit those before it, the shape that
        was expected, with the letters of sizes that are free, and the one that came.
    """
    sizes: dict[str, int] = {}
    for name, (array, letters) in arguments.items():
        shape = np.shape(array)
        expected = [sizes.get(letter, letter) for letter in letters]
        fits = len(shape) == len(letters) and all(
            sizes.setdefault(letter, size) == size
            for letter, size in zip(letters, shape, strict=True)
        )
        if not fits:
            shown = ", ".join(map(str, expected)) + ("," if len(letters) == 1 else "")
            raise AssertionError(f"{name}: expected shape ({shown}), got {shape}")
