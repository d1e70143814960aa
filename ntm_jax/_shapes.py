"""Shape checks of arguments, by chex, that name the argument."""

from typing import Any

import chex
import numpy as np

__all__ = ["check_shapes"]


def check_shapes(**arguments: tuple[Any, str]) -> None:
    """Checks ranks and sizes; each letter stands for one axis size, shared by all arguments.

        check_shapes(memory=(memory, "NM"), weights=(weights, "N"))

    Args:
      **arguments: for each argument name, the array and one letter per axis.

    Raises:
      AssertionError: a shape disagrees with its letters or with an earlier argument.
    """
    sizes: dict[str, int] = {}
    for name, (array, letters) in arguments.items():
        expected = [sizes.get(letter) for letter in letters]
        try:
            chex.assert_shape(array, expected)
        except AssertionError:
            known = zip(expected, letters, strict=True)
            axes = [letter if size is None else str(size) for size, letter in known]
            raise AssertionError(
                f"{name}: expected shape ({', '.join(axes)}{',' * (len(axes) == 1)}), "
                f"got {np.shape(array)}"
            ) from None
        sizes.update(zip(letters, np.shape(array), strict=True))
