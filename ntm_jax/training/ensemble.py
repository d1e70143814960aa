"""Which members of an ensemble train, are solved, or have failed.

A single run is an ensemble of one member.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntm_jax.evaluation.tables import success_rate
from ntm_jax.tasks.base import Size, Task, format_size, parse_size

__all__ = ["Ensemble", "SuccessTracker", "member_values", "summarize_members"]

_SOLVED, _NOT_FINITE = "solved", "not finite"


def summarize_members(values: Sequence[float | None]) -> Any:
    """Returns one value per member in the form of metrics.jsonl.

    Args:
      values: one per member; None where there is none.

    Returns:
      The value itself for a single member; else a dict with all values under "members", and
      "lower_quartile", "median" and "upper_quartile" of the finite ones.
    """
    if len(values) == 1:
        return values[0]
    finite = [value for value in values if value is not None and np.isfinite(value)]
    quartiles = np.quantile(finite, (0.25, 0.5, 0.75)).tolist() if finite else [None] * 3
    names = ("lower_quartile", "median", "upper_quartile")
    return {**dict(zip(names, quartiles, strict=True)), "members": list(values)}


def member_values(value: Any) -> list[Any]:
    """Returns the values of all members, from the form of metrics.jsonl."""
    return value["members"] if isinstance(value, dict) else [value]


@dataclasses.dataclass
class SuccessTracker:
    """Success of one member over the evaluations of its training.

    Attributes:
      task: the task, with its thresholds.
      patience: consecutive solved evaluations after which the member counts as solved.
      errors: the last evaluation, by size.
      solved: whether the last evaluation was solved.
      started_learning: whether any evaluation was below the collapse threshold at all
        in-distribution sizes.
      learned_at_step: training steps before the first evaluation that was solved at all
        in-distribution sizes; None if there was none.
      first_solved_at_step: training steps before the first solved evaluation, or None.
      solved_at_step: training steps before the last of the first `patience` consecutive solved
        evaluations, or None.
      stayed_solved: whether every evaluation after that was solved; None before it.
      collapsed: whether any evaluation after that exceeded the collapse threshold; None before it.
    """

    task: Task
    patience: int
    errors: dict[Size, float] = dataclasses.field(default_factory=dict)
    solved: bool = False
    started_learning: bool = False
    learned_at_step: int | None = None
    first_solved_at_step: int | None = None
    solved_at_step: int | None = None
    stayed_solved: bool | None = None
    collapsed: bool | None = None
    _consecutive_solved: int = 0

    @property
    def remaining_evaluations(self) -> int | None:
        """Solved evaluations that are missing to `patience`; None if the last was not solved."""
        if self.solved_at_step is not None:
            return 0
        return self.patience - self._consecutive_solved if self.solved else None

    def update(self, step: int, errors: Mapping[Size, float]) -> None:
        """Adds the evaluation after `step` training steps."""
        collapse = self.task.thresholds.collapse
        self.errors = dict(errors)
        self.solved = self.task.is_solved(errors)
        self._consecutive_solved = self._consecutive_solved + 1 if self.solved else 0
        in_distribution = {s: e for s, e in errors.items() if self.task.is_in_distribution(s)}
        if in_distribution:
            if max(in_distribution.values()) <= collapse:
                self.started_learning = True
            if self.learned_at_step is None and self.task.is_solved(in_distribution):
                self.learned_at_step = step
        if self.solved and self.first_solved_at_step is None:
            self.first_solved_at_step = step
        if self.solved_at_step is not None:
            self.stayed_solved = self.stayed_solved and self.solved
            self.collapsed = self.collapsed or max(errors.values()) > collapse
        elif self._consecutive_solved == self.patience:
            self.solved_at_step, self.stayed_solved, self.collapsed = step, True, False


class Ensemble:
    """The members of one run; decides which of them train.

    A member stops `train_steps_after_solved` training steps after it counts as solved, and does not
    change from then on; later evaluations do not count for it.

    Args:
      task: the task.
      seeds: the seed of each member.
      batch_size: sequences per training step.
      solved_patience: consecutive solved evaluations after which a member counts as solved.
      train_steps_after_solved: training steps that a member still takes after that.
      restart_after_steps: training steps after which a member that has not started learning is
        stalled; 0 disables it.
      max_consecutive_nonfinite: consecutive skipped training steps after which a member fails.

    Attributes:
      seeds: the seed of each member.
      trackers: the success of each member.
      evaluated_at_step: training steps before the last evaluation, or None.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        *,
        batch_size: int,
        solved_patience: int,
        train_steps_after_solved: int,
        restart_after_steps: int,
        max_consecutive_nonfinite: int,
    ) -> None:
        self.seeds = seeds
        self.trackers = [SuccessTracker(task, solved_patience) for _ in seeds]
        self.evaluated_at_step: int | None = None
        self._metric, self._batch_size = task.metric, batch_size
        self._train_steps_after_solved = train_steps_after_solved
        self._restart_after_steps = restart_after_steps
        self._max_consecutive_nonfinite = max_consecutive_nonfinite
        self._ended: list[str | None] = [None] * len(seeds)
        self._init_steps = [[0] for _ in seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    def replay(self, line: Mapping[str, Any], sizes: Sequence[Size]) -> None:
        """Repeats the decisions of a run from the next line of its metrics.jsonl.

        Raises:
          ValueError: the line, from a file of any content, does not fit the run; or AttributeError,
            IndexError, KeyError or TypeError.
        """
        if line["kind"] in ("failed", "restarted"):
            if not all(type(seed) is int and seed in self.seeds for seed in line["seeds"]):
                raise ValueError(f"seeds: expected some of {self.seeds}, got {line['seeds']}")
            if line["kind"] == "restarted":
                self.mark_restarted(line["step"], line["seeds"])
            else:
                for seed in line["seeds"]:
                    self._ended[self.seeds.index(seed)] = _NOT_FINITE
        elif line["kind"] == "evaluation":
            errors, by_size = {}, dict(line[self._metric].items())
            if sorted(map(parse_size, by_size)) != sorted(sizes):
                raise ValueError(f"{self._metric}: expected other sizes, got {', '.join(by_size)}")
            for size, value in by_size.items():
                values = [math.nan if v is None else v for v in member_values(value)]
                if len(values) != len(self) or any(type(v) not in (int, float) for v in values):
                    raise ValueError(
                        f"{self._metric}: expected a number per seed, got {values} at {size}"
                    )
                errors[parse_size(size)] = values
            self.update(line["step"], errors)
        elif line["kind"] != "training":
            raise ValueError(f"kind: expected training or evaluation, got {line['kind']}")

    @property
    def active(self) -> list[bool]:
        """Which members train."""
        return [reason is None for reason in self._ended]

    @property
    def all_failed(self) -> bool:
        """Whether no member has finite values."""
        return all(reason == _NOT_FINITE for reason in self._ended)

    @property
    def stop_reason(self) -> str | None:
        """Why no member trains: "solved", or "not finite" if any failed; None while one trains."""
        if any(self.active):
            return None
        return _NOT_FINITE if _NOT_FINITE in self._ended else _SOLVED

    def update(self, step: int, errors: Mapping[Size, Sequence[float]]) -> None:
        """Adds an evaluation, and stops members that are done.

        Args:
          step: completed training steps.
          errors: the task's metric of every member, by size.
        """
        self.evaluated_at_step = step
        for member, tracker in enumerate(self.trackers):
            if self._ended[member] is None:
                tracker.update(step, {size: values[member] for size, values in errors.items()})
                solved_at = tracker.solved_at_step
                if solved_at is not None and step >= solved_at + self._train_steps_after_solved:
                    self._ended[member] = _SOLVED

    def mark_failed(self, consecutive_nonfinite: np.ndarray) -> dict[int, int]:
        """Stops members that skipped too many training steps in a row.

        Args:
          consecutive_nonfinite: [U, E], skipped steps up to each of the last U steps.

        Returns:
          For the seed of each member that failed, which of the U steps was one too many.
        """
        exceeded = consecutive_nonfinite >= self._max_consecutive_nonfinite
        members = np.flatnonzero(exceeded.any(axis=0)).tolist()
        failed = [member for member in members if self._ended[member] is None]
        for member in failed:
            self._ended[member] = _NOT_FINITE
        return {self.seeds[member]: int(np.argmax(exceeded[:, member])) for member in failed}

    def stalled(self, step: int) -> list[int]:
        """Returns the seeds that have not started learning `restart_after_steps` after their start.

        Args:
          step: completed training steps, also before the last evaluation.
        """
        patience = self._restart_after_steps
        members = zip(self.seeds, self.active, self.trackers, self._init_steps, strict=True)
        return [
            seed
            for seed, active, tracker, init_steps in members
            if patience
            and active
            and not tracker.started_learning
            and step >= init_steps[-1] + patience
        ]

    def mark_restarted(self, step: int, seeds: Sequence[int]) -> None:
        """Records that these members were re-initialized after `step` training steps."""
        for seed in seeds:
            self._init_steps[self.seeds.index(seed)].append(step)

    def num_updates(self, step: int, skipped: Sequence[int]) -> list[int]:
        """Returns for each member the updates of its parameters since it was initialized.

        Args:
          step: completed training steps.
          skipped: training steps that each member skipped since then.
        """
        starts = (init_steps[-1] for init_steps in self._init_steps)
        return [step - start - count for start, count in zip(starts, skipped, strict=True)]

    def expected_last_step(self, eval_every_steps: int) -> int | None:
        """Returns the step at which training ends if all further evaluations are solved.

        Returns:
          The step; None while a member trains whose last evaluation was not solved.
        """
        last = step = self.evaluated_at_step or 0
        for active, tracker in zip(self.active, self.trackers, strict=True):
            if active:
                if tracker.remaining_evaluations is None:
                    return None
                solved_at = tracker.solved_at_step
                if solved_at is None:
                    solved_at = step + tracker.remaining_evaluations * eval_every_steps
                last = max(last, solved_at + self._train_steps_after_solved)
        return last

    def success_rate(self) -> str:
        """Returns the number of solved members with its 95 % interval, as text."""
        solved = sum(tracker.solved_at_step is not None for tracker in self.trackers)
        return success_rate(solved, len(self))

    def summaries(self, steps: Sequence[int], skipped: Sequence[int]) -> list[dict[str, Any]]:
        """Returns the entry of every member in summary.json.

        Args:
          steps: completed training steps of each member.
          skipped: training steps that each member skipped.
        """
        return [
            {
                "seed": seed,
                "step": step,
                "sequences": step * self._batch_size,
                "solved": tracker.solved,
                "learned_at_step": tracker.learned_at_step,
                "first_solved_at_step": tracker.first_solved_at_step,
                "solved_at_step": tracker.solved_at_step,
                "stayed_solved": tracker.stayed_solved,
                "collapsed": tracker.collapsed,
                self._metric: {format_size(size): e for size, e in tracker.errors.items()},
                "skipped_steps": count,
                "restarts": len(init_steps) - 1,
            }
            for seed, tracker, step, count, init_steps in zip(
                self.seeds, self.trackers, steps, skipped, self._init_steps, strict=True
            )
        ]
