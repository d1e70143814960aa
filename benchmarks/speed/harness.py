"""Times candidates in alternation, and compares their rounds."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["Candidate", "ratio", "summarize", "time_interleaved"]


class Candidate(NamedTuple):
    """A program to time.

    Attributes:
      name: a unique name.
      run: runs the program to completion, and returns the amount of work, such as a number of
        sequences, and a number out of the result, which has to be finite.
      facts: description for the result file.
    """

    name: str
    run: Callable[[], tuple[float, float]]
    facts: dict[str, Any]


def time_interleaved(
    candidates: Sequence[Candidate],
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Measures the work per second of candidates that alternate, so that load affects all alike.

    Each candidate runs once before the first round, since first calls are slower.

    Args:
      candidates: the candidates, in the order of each round.
      rounds: number of rounds.
      seconds: smallest time of a candidate in a round; a started run is finished.
      clock: returns seconds.

    Returns:
      For each name the work per second in every round.

    Raises:
      FloatingPointError: a result is not finite.
      ValueError: two candidates have the same name.
    """
    rates: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    if len(rates) < len(candidates):
        raise ValueError(f"candidates: expected different names, got {[*rates]}")
    for candidate in candidates:
        candidate.run()
    for _ in range(rounds):
        for candidate in candidates:
            work, elapsed, start = 0.0, 0.0, clock()
            while elapsed < seconds:
                amount, value = candidate.run()
                work, elapsed = work + amount, clock() - start
            if not math.isfinite(value):
                raise FloatingPointError(f"{candidate.name}: expected a finite result, got {value}")
            rates[candidate.name].append(work / elapsed)
    return rates


def summarize(values: Sequence[float]) -> dict[str, Any]:
    """Returns the median and the range of the rounds, and the rounds."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": list(values),
    }


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, Any]:
    """Returns the summary of the ratios within each round."""
    return summarize([a / b for a, b in zip(numerators, denominators, strict=True)])
