"""What grows, from where to where, with all else small; and the exponents fitted to it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.growth.point import Point

__all__ = ["LONG", "SWEEPS", "Sweep", "exponent", "exponents"]


class Sweep(NamedTuple):
    """Points that differ in one size.

    Attributes:
      axis: the size on the horizontal axis, in words.
      fit_from: exponents are fitted from this size on; below it, what every step costs however
        small it is hides the growth.
      points: in the order in which they are measured.
    """

    axis: str
    fit_from: int
    points: Sequence[Point]


def _points(field: str, sizes: Sequence[int], *works: str, **fixed: int) -> list[Point]:
    return [Point(work, **{field: size, **fixed}) for size in sizes for work in works]


_BOTH = ("training", "evaluation")
_TRAINING = ("training", "training in segments")
_LENGTHS = (10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000)

SWEEPS = {
    "slots": Sweep(
        "memory slots N",
        1024,
        _points("num_slots", [2**power for power in range(7, 17)], *_BOTH),
    ),
    "steps": Sweep(
        "time steps T",
        1024,
        [
            *_points("length", _LENGTHS, *_TRAINING),
            # Enough sequences for those from 1,281 steps on to be evaluated in several batches.
            *_points("length", _LENGTHS, "evaluation", batch_size=512),
        ],
    ),
    "batch": Sweep(
        "sequences in a batch B",
        32,
        _points("batch_size", [2**power for power in range(10)], *_BOTH, length=20),
    ),
    "seeds": Sweep(
        "seeds trained together E",
        8,
        _points("num_seeds", [2**power for power in range(7)], *_BOTH, length=20, batch_size=4),
    ),
}
# A long sequence in a large memory: what segments are for.
LONG = _points("length", [5000], *_TRAINING, num_slots=1024)


def size_of(sweep: str, row: Mapping[str, Any]) -> int:
    """Where a row stands on its sweep's axis."""
    if sweep == "steps":
        return 2 * row["length"] + 1
    return row[{"slots": "num_slots", "batch": "batch_size", "seeds": "num_seeds"}[sweep]]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The k of the curve c size^k that is nearest to the values, by least squares of logarithms.

    Args:
      sizes: two different ones at least.
      values: greater than 0.

    Returns:
      k.
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float))
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))


def exponents(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The exponent of time and of planned memory, for each sweep and kind of work in the rows."""
    fitted = []
    for name, sweep in SWEEPS.items():
        for work in dict.fromkeys(point.work for point in sweep.points):
            fits = sorted(
                (
                    row
                    for row in rows
                    if (row["sweep"], row["work"]) == (name, work)
                    and size_of(name, row) >= sweep.fit_from
                ),
                key=lambda row, name=name: size_of(name, row),
            )
            sizes = [size_of(name, row) for row in fits]
            if len(sizes) < 3:
                continue
            times = [row["seconds"]["median"] for row in fits]
            memory = [row["planned_bytes"] for row in fits]
            fitted.append(
                {
                    "sweep": name,
                    "work": work,
                    "from": min(sizes),
                    "to": max(sizes),
                    "points": len(sizes),
                    "seconds": exponent(sizes, times),
                    "planned_bytes": exponent(sizes, memory),
                    "memory_ratio": memory[-1] / memory[0],
                }
            )
    return fitted
