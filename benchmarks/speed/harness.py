"""Contestants by turns, and what is made of their rounds."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["Contestant", "divided", "interleave", "summary"]


class Contestant(NamedTuple):
    """One side of a comparison.

    Attributes:
      name: unlike that of any other.
      advance: works a little, waits until that is done, and returns how much it did, such as
        sequences, and a number of the result, which has to be finite.
      facts: what is to be known of it.
    """

    name: str
    advance: Callable[[], tuple[float, float]]
    facts: dict[str, Any]


def interleave(
    contestants: Sequence[Contestant],
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Measures how much each contestant does a second, by turns.

    Whatever slows the machine for a while slows all of them; each round has every contestant once,
    in the same order. Before the first round each advances once, since a first call is slower.

    Args:
      contestants: who.
      rounds: how often each has its turn.
      seconds: of a turn, at least; what was begun is ended.
      clock: tells seconds.

    Returns:
      name -> what it did a second, in every round.

    Raises:
      FloatingPointError: a contestant's number is not finite.
      ValueError: two contestants have one name.
    """
    rates: dict[str, list[float]] = {one.name: [] for one in contestants}
    if len(rates) < len(contestants):
        raise ValueError(f"contestants: expected different names, got {[*rates]}")
    for one in contestants:
        one.advance()
    for _ in range(rounds):
        for one in contestants:
            done, elapsed, began = 0.0, 0.0, clock()
            while elapsed < seconds:
                more, number = one.advance()
                done, elapsed = done + more, clock() - began
            if not math.isfinite(number):
                raise FloatingPointError(f"{one.name}: expected a finite number, got {number}")
            rates[one.name].append(done / elapsed)
    return rates


def summary(values: Sequence[float]) -> dict[str, Any]:
    """The median of the rounds, with their spread and themselves."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": list(values),
    }


def divided(upper: Sequence[float], lower: Sequence[float]) -> dict[str, Any]:
    """The summary of the quotients within each round."""
    return summary([one / other for one, other in zip(upper, lower, strict=True)])
