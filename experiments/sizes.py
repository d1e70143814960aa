"""At which sizes the machines of each task are measured, beyond what their configs evaluate."""

from typing import NamedTuple

__all__ = ["ENLARGED", "FURTHER", "Enlarged"]


class Enlarged(NamedTuple):
    """An evaluation in a larger memory than the trained one, which can hold more than it ever saw.

    Attributes:
      numbers: of each axis of the task.
      slots: of the memory.
      sequences: of each size.
    """

    numbers: dict[str, tuple[int, ...]]
    slots: int
    sequences: int


# Of each task, further numbers of its axes.
FURTHER: dict[str, dict[str, tuple[int, ...]]] = {
    "copy": {"length": (30, 50)},
    "repeat_copy": {"length": (5, 15), "repeats": (5, 15)},
    "associative_recall": {"items": (3, 4, 5, 8, 10, 15)},
    "priority_sort": {"count": (10, 15, 25, 30)},
}
ENLARGED: dict[str, tuple[Enlarged, ...]] = {
    "copy": (Enlarged({"length": (300,)}, 512, 64), Enlarged({"length": (1000,)}, 2048, 32))
}
