"""What a run tells of itself: lines of metrics, a summary at its end, and both in words."""

import importlib.metadata
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ntm_jax.training import run_dir
from ntm_jax.evaluation.scoring import Result
from ntm_jax.training.ensemble import Members, packed, unpacked
from ntm_jax.training.progress import Progress, Silent
from ntm_jax.tasks.base import Task, label
from ntm_jax.training.train_step import Measured

__all__ = ["Journal"]


class Journal:
    """Writes to the run folder, and shows the same; of several processes the first one alone.

    Args:
      config: of the run.
      task: of the run.
      workdir: the run folder.
      progress: where it is shown.
      members: of the ensemble.
      num_params: of each.
      devices: in words.
      started: when this process began, by `time.monotonic`.
      before: seconds that the run had taken by then.

    Raises:
      OSError: in all methods, if the folder cannot be written to.
    """

    def __init__(
        self,
        config: ConfigDict,
        task: Task,
        workdir: Path,
        progress: Progress | Silent,
        members: Members,
        num_params: int,
        devices: str,
        started: float,
        before: float,
    ) -> None:
        self._config, self._task = config, task
        self._workdir, self._progress = workdir, progress
        self._members, self._num_params, self._devices = members, num_params, devices
        self._started = started - before

    def begin(self, step: int) -> None:
        """Says what is trained, after `step` updates."""
        config, members = self._config, self._members
        slots = " and ".join(map(str, sorted(config.model.get("train_slots", ()))))
        self._progress.say(
            f"{config.task.name}, {config.model.name}: {self._num_params:,} parameters, "
            + (f"{len(members)} seeds, " if len(members) > 1 else "")
            + (f"memories of {slots} slots by turns, " if slots else "")
            + f"{self._devices}, {self._workdir}"
            + (f", resumed after {step} updates" if step else "")
        )

    def updates(self, step: int, measured: Measured, skipped: Sequence[int]) -> None:
        """A line for the last updates.

        Args:
          step: updates behind the run.
          measured: in those of this line.
          skipped: updates that each member has skipped in all.
        """
        fine = measured.skipped_in_a_row == 0
        untold = {"skipped_in_a_row"}
        if self._config.curriculum != "growing":
            untold.add("grown")
        means = {
            name: packed(
                [
                    float(np.mean(values[kept, member])) if kept.any() else None
                    for member, kept in enumerate(fine.T)
                ]
            )
            for name, values in measured._asdict().items()
            if name not in untold
        }
        self._record("training", step, {**means, "skipped": packed(skipped)})
        self._progress.advance(step)

    def evaluation(self, step: int, by_size: Sequence[Sequence[Result]]) -> None:
        """A line for an evaluation, which is noted with the members.

        Args:
          step: updates behind the run.
          by_size: for each size, the results of all members.
        """
        judged_by = self._task.judged_by
        errors = {
            label(of_size[0].size): packed([getattr(result, judged_by) for result in of_size])
            for of_size in by_size
        }
        self._members.note(step, errors)
        solved = [record.solved for record in self._members.records]
        told: list[bool] | bool = solved
        verdict = f"  (medians)  {sum(solved)} of {len(solved)} solved"
        if len(solved) == 1:
            (told,) = solved
            verdict = "  solved" if told else ""
        self._record("evaluation", step, {judged_by: errors, "solved": told})
        shown = "  ".join(
            f"{size}: {np.median(unpacked(value)):.3g}" for size, value in errors.items()
        )
        self._progress.say(
            f"update {step:>6}  {self._seconds():6.1f} s  "
            f"{judged_by.removesuffix('_per_sequence').replace('_', ' ')} "
            f"by {' x '.join(self._task.axes)}  {shown}{verdict}"
        )

    def lost(self, step: int, seeds: Sequence[int]) -> None:
        """A line for members that are given up, so that a resumed run gives up the same."""
        self._record("lost", step, {"seeds": list(seeds)})

    def restarted(self, step: int, seeds: Sequence[int]) -> None:
        """A line for members that begin anew."""
        self._record("restarted", step, {"seeds": list(seeds)})
        self.say(
            f"update {step:>6}  nothing learned in {self._config.restart_after} updates, begun "
            f"anew: seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        )

    def say(self, line: str) -> None:
        """Any other line."""
        self._progress.say(line)

    def flush(self) -> None:
        """Waits until all lines are on the disk."""
        run_dir.flush(self._workdir / "metrics.jsonl")
        self._progress.flush()

    def end(
        self,
        stopped: str,
        step: int,
        steps: Sequence[int],
        skipped: Sequence[int],
        compile_seconds: float,
        checkpoint: Path,
    ) -> dict[str, Any]:
        """Writes the summary and says how it ended.

        Args:
          stopped: a word for the reason.
          step: updates behind the run.
          steps: updates behind each member.
          skipped: updates that each has skipped.
          compile_seconds: of this process.
          checkpoint: the last one.

        Returns:
          The summary.
        """
        members = self._members.summaries(steps, skipped)
        summary = {
            "task": self._config.task.name,
            "model": self._config.model.name,
            "num_params": self._num_params,
            "stopped": stopped,
            **(members[0] if len(members) == 1 else {"members": members}),
            "seconds": round(self._seconds(), 3),
            "compile_seconds": round(compile_seconds, 3),
            "devices": self._devices,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
            },
        }
        summary = run_dir.write_summary(self._workdir, summary)
        saying = {
            "solved": f"solved at {self._config.solved_in_a_row} evaluations in a row",
            "num_steps": "all updates done",
            "not finite": "some lost for want of finite values, the others solved",
        }.get(stopped, f"interrupted by {stopped}; the same command resumes")
        if len(members) > 1:
            saying = f"solved {self._members.counted()}; {saying}"
        elif stopped == "num_steps" and not members[0]["solved"]:
            saying += ", not solved"
        self._progress.say(
            f"{saying}: {step} updates, {summary['seconds']:.1f} s, checkpoint {checkpoint}"
        )
        return summary

    def _record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """One line of metrics.jsonl, and the same to TensorBoard."""
        line = {"kind": kind, "step": step, "sequences": step * self._config.batch_size, **values}
        run_dir.append_metrics(self._workdir, {**line, "seconds": round(self._seconds(), 3)})
        self._progress.scalars(step, kind, values)

    def _seconds(self) -> float:
        """Wall time of the run, over all its pieces."""
        return time.monotonic() - self._started
