"""What counts as success: the one definition of solved, held and collapsed, and of their rates."""

import math
from collections.abc import Mapping

__all__ = ["Record", "is_solved", "rate", "wilson_interval"]

# Wrong bits a sequence: no more than these are solved, within the trained lengths and beyond them.
_SOLVED_TRAINED = 0.01
_SOLVED_BEYOND = 0.1
# More than this, at any length, is a collapse.
_COLLAPSED = 1.0


def is_solved(bit_errors: Mapping[int, float], trained_length: int) -> bool:
    """Whether every length was copied, in one evaluation.

    Args:
      bit_errors: length -> wrong bits per sequence.
      trained_length: the longest sequence seen in training.

    Returns:
      True if no length up to `trained_length` has more than 0.01 wrong bits per sequence, and no
      longer one more than 0.1.
    """
    return all(
        errors <= (_SOLVED_TRAINED if length <= trained_length else _SOLVED_BEYOND)
        for length, errors in bit_errors.items()
    )


class Record:
    """How one machine fared in the evaluations of its training.

    It counts as solved from the last of `in_a_row` evaluations in a row on that were solved, each
    on sequences of its own.

    Args:
      trained_length: the longest sequence seen in training.
      in_a_row: evaluations, at least 1.

    Attributes:
      learned_at_step: updates before the first evaluation that was solved as far as lengths up to
        `trained_length` go, or None.
      first_solved_at_step: updates before the first evaluation that was solved, or None.
      solved_at_step: updates before the one that made it count as solved, or None.
      solved: whether the last evaluation was.
      held: whether it counts as solved, and every evaluation since was; None if it does not.
      collapsed: whether it counts as solved, and has had more than one wrong bit a sequence since,
        at any length; None if it does not.
      bit_errors: of the last evaluation, length -> wrong bits per sequence.
    """

    def __init__(self, trained_length: int, in_a_row: int) -> None:
        self._trained_length, self._in_a_row, self._row = trained_length, in_a_row, 0
        self.learned_at_step: int | None = None
        self.first_solved_at_step: int | None = None
        self.solved_at_step: int | None = None
        self.solved = False
        self.held: bool | None = None
        self.collapsed: bool | None = None
        self.bit_errors: dict[int, float] = {}

    def add(self, step: int, bit_errors: Mapping[int, float]) -> None:
        """The next evaluation, after `step` updates."""
        self.bit_errors = dict(bit_errors)
        self.solved = is_solved(bit_errors, self._trained_length)
        self._row = self._row + 1 if self.solved else 0
        if self.learned_at_step is None:
            trained = {n: e for n, e in bit_errors.items() if n <= self._trained_length}
            if trained and is_solved(trained, self._trained_length):
                self.learned_at_step = step
        if self.solved and self.first_solved_at_step is None:
            self.first_solved_at_step = step
        if self.solved_at_step is not None:
            self.held = self.held and self.solved
            self.collapsed = self.collapsed or max(bit_errors.values()) > _COLLAPSED
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
