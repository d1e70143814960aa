"""What counts as success: the one definition of solved, held and collapsed, and of their rates."""

import math
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Limits", "Record", "is_solved", "rate", "wilson_interval"]


class Limits(NamedTuple):
    """Up to which error a size of a task counts as solved; in wrong bits a sequence, mostly.

    Attributes:
      trained: of a size that training sees.
      beyond: of a larger one.
      collapsed: more than this, at any size, is a collapse.
    """

    trained: float = 0.01
    beyond: float = 0.1
    collapsed: float = 1.0


def is_solved(
    errors: Mapping[tuple[int, ...], float], trained_size: tuple[int, ...], limits: Limits
) -> bool:
    """Whether no size was too wrong, in one evaluation.

    Args:
      errors: by size.
      trained_size: the largest number on each axis that training sees.
      limits: how wrong each may be.

    Returns:
      True if no error is above its limit.
    """
    return all(
        error <= (limits.trained if _is_trained(size, trained_size) else limits.beyond)
        for size, error in errors.items()
    )


class Record:
    """How one machine fared in the evaluations of its training.

    It counts as solved from the last of `in_a_row` evaluations in a row on that were solved, each
    on sequences of its own.

    Args:
      trained_size: the largest number on each axis of the task that training sees.
      limits: of the task.
      in_a_row: evaluations, at least 1.

    Attributes:
      begun: whether an evaluation was less wrong than a collapse at the trained sizes.
      learned_at_step: updates before the first evaluation that was solved at the trained sizes, or
        None.
      first_solved_at_step: updates before the first evaluation that was solved, or None.
      solved_at_step: updates before the one that made it count as solved, or None.
      solved: whether the last evaluation was.
      held: whether it counts as solved, and every evaluation since was; None if it does not.
      collapsed: whether it counts as solved, and has had a collapse since; None if it does not.
      errors: of the last evaluation, by size.
    """

    def __init__(self, trained_size: tuple[int, ...], limits: Limits, in_a_row: int) -> None:
        self._trained_size, self._in_a_row, self._limits = trained_size, in_a_row, limits
        self._row = 0
        self.begun = False
        self.learned_at_step: int | None = None
        self.first_solved_at_step: int | None = None
        self.solved_at_step: int | None = None
        self.solved = False
        self.held: bool | None = None
        self.collapsed: bool | None = None
        self.errors: dict[tuple[int, ...], float] = {}

    def add(self, step: int, errors: Mapping[tuple[int, ...], float]) -> None:
        """The next evaluation, after `step` updates."""
        self.errors = dict(errors)
        self.solved = is_solved(errors, self._trained_size, self._limits)
        self._row = self._row + 1 if self.solved else 0
        trained = {n: e for n, e in errors.items() if _is_trained(n, self._trained_size)}
        if trained:
            self.begun = self.begun or max(trained.values()) <= self._limits.collapsed
            if self.learned_at_step is None:
                solved = is_solved(trained, self._trained_size, self._limits)
                self.learned_at_step = step if solved else None
        if self.solved and self.first_solved_at_step is None:
            self.first_solved_at_step = step
        if self.solved_at_step is not None:
            self.held = self.held and self.solved
            self.collapsed = self.collapsed or max(errors.values()) > self._limits.collapsed
        elif self._row == self._in_a_row:
            self.solved_at_step, self.held, self.collapsed = step, True, False


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a success rate, Wilson (1927).

    Args:
      successes: from 0 to `trials`.
      trials: at least 1.
      z: quantile of the normal distribution; the default gives 95 %.

    Returns:
      The lower and the upper limit, in [0, 1].

    Raises:
      ValueError: numbers out of their range.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            f"expected 0 <= successes <= trials and trials >= 1, got {successes} of {trials}"
        )
    rate = successes / trials
    scale = 1 + z**2 / trials
    centre = (rate + z**2 / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def rate(successes: int, trials: int) -> str:
    """A success rate with its 95 % interval, such as "29 of 30 (97 %, interval 83 % to 99 %)"."""
    low, high = (100 * limit for limit in wilson_interval(successes, trials))
    return (
        f"{successes} of {trials} ({100 * successes / trials:.0f} %, "
        f"interval {low:.0f} % to {high:.0f} %)"
    )


def _is_trained(size: tuple[int, ...], trained_size: tuple[int, ...]) -> bool:
    return all(n <= most for n, most in zip(size, trained_size, strict=True))
