"""The members of an ensemble: who is solved, who still trains, and how many numbers are shown.

A single run is an ensemble of one, and its numbers stay single ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ntm_jax.training import config as configs
from ntm_jax.training import run_dir, success
from ntm_jax.tasks.base import Task, label, size_of

__all__ = ["Members", "packed", "unpacked"]

_SOLVED, _NOT_FINITE = "solved", "not finite"


def packed(values: Sequence[float | None]) -> Any:
    """A number of each member, as the files of a run have it.

    Args:
      values: one for each member, None for one that is not known.

    Returns:
      The number itself if there is one member; else a dict with all of them under "members", and
      "median", "lower_quartile" and "upper_quartile" of those that are known.
    """
    if len(values) == 1:
        return values[0]
    known = [value for value in values if value is not None and np.isfinite(value)]
    quartiles = np.quantile(known, (0.25, 0.5, 0.75)).tolist() if known else [None] * 3
    names = ("lower_quartile", "median", "upper_quartile")
    return {**dict(zip(names, quartiles, strict=True)), "members": list(values)}


def unpacked(value: Any) -> list[Any]:
    """The number of each member again."""
    return value["members"] if isinstance(value, dict) else [value]


class Members:
    """The members of one run, by what their evaluations say.

    A member stops once it is solved, `updates_after_solved` updates later: from then on it stays as
    it is, so that it is the same seed trained alone. What is noted of it afterwards is left out.

    Args:
      config: of the run.
      task: of the run.
      history: lines of metrics.jsonl, of a run that goes on or is looked at.

    Raises:
      RunError: a line is not one of such a run.

    Attributes:
      seeds: of the members, in order.
      records: how each fared.
      evaluated_at: updates before the last evaluation; None if there was none.
    """

    def __init__(
        self, config: ConfigDict, task: Task, history: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._config, self._judged_by = config, task.judged_by
        self.seeds = configs.seeds(config)
        self.records = [
            success.Record(task.trained_size, task.limits, config.solved_in_a_row)
            for _ in self.seeds
        ]
        self.evaluated_at: int | None = None
        self._ended: list[str | None] = [None] * len(self.seeds)
        self._began = [[0] for _ in self.seeds]
        for line in history:
            try:
                self._remember(line)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise run_dir.RunError(
                    "metrics.jsonl: expected lines as this version writes them, got another for "
                    f"update {line['step']} ({error!r}); put the file back, or train anew in "
                    "another --workdir"
                ) from None

    def _remember(self, line: dict[str, Any]) -> None:
        if line["kind"] == "evaluation":
            self.note(line["step"], line[self._judged_by])
        elif line["kind"] == "lost":
            for seed in line["seeds"]:
                self._ended[self.seeds.index(seed)] = _NOT_FINITE
        elif line["kind"] == "restarted":
            self.restart(line["step"], line["seeds"])

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def going_on(self) -> list[bool]:
        """Which members still train."""
        return [reason is None for reason in self._ended]

    @property
    def failed(self) -> bool:
        """Whether no member can go on, for want of finite values."""
        return all(reason == _NOT_FINITE for reason in self._ended)

    @property
    def stopped(self) -> str | None:
        """Why the run is over: "solved"; "not finite" if some are lost; None if it is not."""
        if any(self.going_on):
            return None
        return _NOT_FINITE if _NOT_FINITE in self._ended else _SOLVED

    def note(self, step: int, errors: dict[str, Any]) -> None:
        """Enters an evaluation, by size as in the files, and ends the members that are done."""
        self.evaluated_at = step
        by_size = {size_of(name): unpacked(value) for name, value in errors.items()}
        for member, record in enumerate(self.records):
            if self._ended[member] is None:
                record.add(step, {size: of_all[member] for size, of_all in by_size.items()})
                since = record.solved_at_step
                if since is not None and step >= since + self._config.updates_after_solved:
                    self._ended[member] = _SOLVED

    def stuck(self, step: int) -> list[int]:
        """The seeds that are to begin anew: nothing begun, `restart_after` updates after a start.

        Args:
          step: updates behind the run, and before the last evaluation.
        """
        after = self._config.restart_after
        return [
            seed
            for seed, going_on, record, began in zip(
                self.seeds, self.going_on, self.records, self._began, strict=True
            )
            if after and going_on and not record.begun and step >= began[-1] + after
        ]

    def restart(self, step: int, seeds: Sequence[int]) -> None:
        """Notes that these begin anew after `step` updates."""
        for seed in seeds:
            self._began[self.seeds.index(seed)].append(step)

    def lose(self, skipped_in_a_row: np.ndarray) -> list[tuple[int, int]]:
        """Ends the members with too many updates skipped.

        Args:
          skipped_in_a_row: [U, E], up to each of the last updates.

        Returns:
          For each of them its seed, and which of the U updates was too much.
        """
        too_many = skipped_in_a_row >= self._config.max_skipped
        lost = [k for k in np.flatnonzero(too_many.any(axis=0)) if self._ended[k] is None]
        for member in lost:
            self._ended[member] = _NOT_FINITE
        return [(self.seeds[member], int(np.argmax(too_many[:, member]))) for member in lost]

    def counted(self) -> str:
        """How many count as solved, in words."""
        solved = sum(record.solved_at_step is not None for record in self.records)
        return success.rate(solved, len(self))

    def summaries(self, steps: Sequence[int], skipped: Sequence[int]) -> list[dict[str, Any]]:
        """What summary.json says of each member.

        Args:
          steps: updates behind each.
          skipped: updates that each has skipped.
        """
        return [
            {
                "seed": seed,
                "step": step,
                "sequences": step * self._config.batch_size,
                "solved": record.solved,
                "learned_at_step": record.learned_at_step,
                "first_solved_at_step": record.first_solved_at_step,
                "solved_at_step": record.solved_at_step,
                "held": record.held,
                "collapsed": record.collapsed,
                self._judged_by: {label(size): error for size, error in record.errors.items()},
                "skipped_updates": count,
                "restarts": len(began) - 1,
            }
            for seed, record, step, count, began in zip(
                self.seeds, self.records, steps, skipped, self._began, strict=True
            )
        ]
