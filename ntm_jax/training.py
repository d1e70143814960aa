"""Training: `train(config, workdir)`, from a config to a run folder with a finished machine."""

import contextlib
import importlib.metadata
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ntm_jax import build, evaluation, models, runs
from ntm_jax import config as configs
from ntm_jax.checkpoints import Checkpoints
from ntm_jax.members import Members, packed, unpacked
from ntm_jax.progress import Progress
from ntm_jax.tasks.base import label
from ntm_jax.updates import Measured, TrainState, Updates

__all__ = ["TrainingError", "train"]


class TrainingError(RuntimeError):
    """Training that cannot go on; the message names the step and the last good checkpoint."""


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Trains until solved, or for `num_steps` updates, resuming what is in `workdir`.

    Ctrl-C and SIGTERM store a checkpoint first; a second one stops at once.

    Args:
      config: as a file under `configs/` returns it.
      workdir: the run folder; made if it is not there.

    Returns:
      What summary.json says; "stopped" is "solved", "num_steps", "SIGINT", "SIGTERM", or of an
      ensemble "not finite", if some members were lost to that and the others are solved.

    Raises:
      ConfigError: the config cannot be run.
      RunError: `workdir` holds a run of another config.
      CheckpointError: no checkpoint of the run is good, or the next cannot be stored.
      TrainingError: `max_skipped` updates in a row were not finite, in every member.
      OSError: the folder cannot be written to.
    """
    started = time.monotonic()
    configs.validate(config)
    task, optimizer = build.make_task(config), build.make_optimizer(config)
    trained = build.make_trained_models(config)
    workdir = Path(workdir)
    runs.open_run(workdir, config)
    checkpoints = Checkpoints(workdir)
    updates = Updates(trained, task, optimizer, config.batch_size, configs.seeds(config))
    step, state, remarks = _restore(checkpoints, updates)
    history = runs.keep_metrics_until(workdir, step)
    with Progress(workdir, config.num_steps, step) as progress, _signals() as signals:
        for remark in remarks:
            progress.say(remark)
        loop = _Loop(config, workdir, updates, checkpoints, progress, history, started)
        return loop.go(step, state, signals)


def _restore(checkpoints: Checkpoints, updates: Updates) -> tuple[int, TrainState, list[str]]:
    """Updates that are behind a run, the state after them, and what to say of it."""
    state = updates.init()
    found = checkpoints.restore_newest(state.params, (state.optimizer_state, state.step))
    checkpoints.remove_after(found.step if found else 0)
    if found is None:
        return 0, state, []
    state = TrainState(found.params, *found.optimizer_state)
    return found.step, updates.devices.put_members(state), found.remarks


class _Loop:
    """The host's side of training: one call of `train`."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        updates: Updates,
        checkpoints: Checkpoints,
        progress: Progress,
        history: list[dict[str, Any]],
        started: float,
    ) -> None:
        self.config, self.workdir = config, workdir
        self.checkpoints, self.progress = checkpoints, progress
        self.updates = updates
        self.model = build.make_model(config)
        self.members = Members(config, updates.task, history)
        # The clock goes on where the run that is resumed left it.
        self.started = started - (history[-1]["seconds"] if history else 0.0)
        self.compile_seconds = 0.0

    def go(self, step: int, state: TrainState, signals: list[str]) -> dict[str, Any]:
        """Trains from `step` to the end, and returns the summary."""
        config = self.config
        num_params = models.num_params(state.params) // len(self.members)
        slots = " and ".join(map(str, sorted(config.model.get("train_slots", ()))))
        self.progress.say(
            f"{config.task.name}, {config.model.name}: {num_params:,} parameters, "
            + (f"{len(self.members)} seeds, " if len(self.members) > 1 else "")
            + (f"memories of {slots} slots by turns, " if slots else "")
            + f"{self.updates.devices}, {self.workdir}"
            + (f", resumed after {step} updates" if step else "")
        )
        if not self.members.evaluated:
            self.evaluate(state, step)
        while (stopped := self.reason_to_stop(step, signals)) is None:
            state, measured = self.advance(state, step)
            step += len(measured.loss)
            self.report(state, measured, step)
            if step % config.eval_every == 0 or step == config.num_steps:
                self.evaluate(state, step)
            if step % config.checkpoint_every == 0:
                self.save(state, step)
        self.save(state, step)
        return self.finish(state, num_params, step, stopped)

    def save(self, state: TrainState, step: int) -> None:
        """Stores a checkpoint; how far each member came goes with its optimizer."""
        self.checkpoints.save(step, state.params, (state.optimizer_state, state.step))

    def reason_to_stop(self, step: int, signals: list[str]) -> str | None:
        """A word for the summary, or None to go on."""
        if self.members.stopped:
            return self.members.stopped
        if step >= self.config.num_steps:
            return "num_steps"
        return signals[0] if signals else None

    def advance(self, state: TrainState, step: int) -> tuple[TrainState, Measured]:
        """The updates up to the next line of the log."""
        every = self.config.log_every
        length = min(every - step % every, self.config.num_steps - step)
        began = time.monotonic()
        self.updates.compile(state, length)
        self.compile_seconds += time.monotonic() - began
        state, measured = self.updates.run(state, length, self.members.going_on)
        return state, jax.device_get(measured)

    def report(self, state: TrainState, measured: Measured, step: int) -> None:
        """One line of metrics; stops the run if nothing is finite any more."""
        fine = measured.skipped_in_a_row == 0
        line = {
            name: packed(
                [
                    float(np.mean(values[kept, member])) if kept.any() else None
                    for member, kept in enumerate(fine.T)
                ]
            )
            for name, values in measured._asdict().items()
            if name != "skipped_in_a_row"
        }
        line["skipped"] = packed(state.optimizer_state.total_notfinite.tolist())
        self.record("training", step, line)
        self.progress.advance(step)
        for seed, index in self.members.lose(measured.skipped_in_a_row):
            message = (
                f"update {step - len(fine) + index + 1}: the loss or its gradient was not finite "
                f"for {self.config.max_skipped} updates in a row, and they were skipped"
            )
            if self.members.failed:
                raise TrainingError(
                    f"{message}; {self.checkpoints.last()}. Try a smaller learning_rate or "
                    "clip_norm, or another seed."
                )
            self.progress.say(f"seed {seed}, {message}; it stays as it is, the others go on")

    def evaluate(self, state: TrainState, step: int) -> None:
        """Scores all sizes, and shows and stores the result."""
        results = evaluation.evaluate_members(
            self.model,
            state.params,
            self.updates.task,
            configs.eval_sizes(self.config),
            self.config.eval_sequences,
            # Other sequences each time: a machine that fails on one in a thousand, an empty first
            # vector say, would pass again and again on sequences that have none.
            seed=step,
        )
        judged_by = self.updates.task.judged_by
        errors = {
            label(of_size[0].size): packed([getattr(result, judged_by) for result in of_size])
            for of_size in zip(*results, strict=True)
        }
        self.members.note(step, errors)
        solved = [record.solved for record in self.members.records]
        verdict = "  solved" if all(solved) else ""
        if len(solved) > 1:
            verdict = f"  (medians)  {sum(solved)} of {len(solved)} solved"
        else:
            (solved,) = solved
        self.record("evaluation", step, {judged_by: errors, "solved": solved})
        shown = "  ".join(
            f"{size}: {np.median(unpacked(value)):.3g}" for size, value in errors.items()
        )
        self.progress.say(
            f"update {step:>6}  {self.seconds():6.1f} s  "
            f"{judged_by.removesuffix('_per_sequence').replace('_', ' ')} "
            f"by {' x '.join(self.updates.task.axes)}  {shown}{verdict}"
        )

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """One line of metrics.jsonl, and the same to TensorBoard."""
        line = {"kind": kind, "step": step, "sequences": step * self.config.batch_size, **values}
        runs.append_metrics(self.workdir, {**line, "seconds": round(self.seconds(), 3)})
        self.progress.scalars(step, kind, values)

    def finish(self, state: TrainState, num_params: int, step: int, stopped: str) -> dict[str, Any]:
        """Writes the summary and says how it ended."""
        members = self.members.summaries(
            state.step.tolist(), state.optimizer_state.total_notfinite.tolist()
        )
        summary = {
            "task": self.config.task.name,
            "model": self.config.model.name,
            "num_params": num_params,
            "stopped": stopped,
            **(members[0] if len(members) == 1 else {"members": members}),
            "seconds": round(self.seconds(), 3),
            "compile_seconds": round(self.compile_seconds, 3),
            "devices": str(self.updates.devices),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
            },
        }
        runs.write_json(self.workdir / "summary.json", summary)
        saying = {
            "solved": f"solved at {self.config.solved_in_a_row} evaluations in a row",
            "num_steps": "all updates done",
            "not finite": "some lost for want of finite values, the others solved",
        }.get(stopped, f"interrupted by {stopped}; the same command resumes")
        if len(members) > 1:
            saying = f"solved {self.members.counted()}; {saying}"
        elif stopped == "num_steps" and not members[0]["solved"]:
            saying += ", not solved"
        self.progress.say(
            f"{saying}: {step} updates, {self.seconds():.1f} s, "
            f"checkpoint {self.checkpoints.path(step)}"
        )
        return summary

    def seconds(self) -> float:
        """Wall time of the run, over all its pieces."""
        return time.monotonic() - self.started


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """While it is entered, the first Ctrl-C or SIGTERM is noted in the list."""
    received: list[str] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    # Only the main thread may; elsewhere the caller stops the run.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
