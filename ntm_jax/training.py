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

from ntm_jax import build, evaluation, models, parallel, runs
from ntm_jax import config as configs
from ntm_jax.checkpoints import Checkpoints
from ntm_jax.progress import Progress
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
      What summary.json says; "stopped" is "solved", "num_steps", "SIGINT" or "SIGTERM".

    Raises:
      ConfigError: the config cannot be run.
      RunError: `workdir` holds a run of another config.
      CheckpointError: the newest checkpoint cannot be read, or the next cannot be stored.
      TrainingError: `max_skipped` updates in a row were not finite.
      OSError: the folder cannot be written to.
    """
    started = time.monotonic()
    configs.validate(config)
    model, task, optimizer = (
        make(config) for make in (build.make_model, build.make_task, build.make_optimizer)
    )
    workdir = Path(workdir)
    runs.open_run(workdir, config)
    checkpoints = Checkpoints(workdir)
    step = checkpoints.latest_step() or 0
    history = runs.keep_metrics_until(workdir, step)
    with Progress(workdir, config.num_steps, step) as progress, _signals() as signals:
        updates = Updates(model, task, optimizer, config.batch_size, config.seed)
        loop = _Loop(config, workdir, updates, checkpoints, progress, history, started)
        return loop.go(step, signals)


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
        self.evaluations = [line for line in history if line["kind"] == "evaluation"]
        # The clock goes on where the run that is resumed left it.
        self.started = started - (history[-1]["seconds"] if history else 0.0)
        self.compile_seconds = 0.0

    def go(self, step: int, signals: list[str]) -> dict[str, Any]:
        """Trains from `step` to the end, and returns the summary."""
        config = self.config
        state = self.restore(self.updates.init(), step)
        self.progress.say(
            f"{config.task.name}, {config.model.name}: "
            f"{models.num_params(state.params):,} parameters, "
            f"{parallel.describe_devices(config.batch_size)}, {self.workdir}"
            + (f", resumed after {step} updates" if step else "")
        )
        if not self.evaluations:
            self.evaluate(state, step)
        while (stopped := self.reason_to_stop(step, signals)) is None:
            state, measured = self.advance(state, step)
            step = int(state.step)
            self.report(state, measured, step)
            if step % config.eval_every == 0 or step == config.num_steps:
                self.evaluate(state, step)
            if step % config.checkpoint_every == 0:
                self.checkpoints.save(step, state.params, state.optimizer_state)
        self.checkpoints.save(step, state.params, state.optimizer_state)
        return self.finish(state, step, stopped)

    def restore(self, state: TrainState, step: int) -> TrainState:
        """The state stored after `step` updates, on all devices."""
        if step:
            params, optimizer_state = self.checkpoints.restore(
                step, state.params, state.optimizer_state
            )
            state = TrainState(params, optimizer_state, np.asarray(step, np.int32))
        return parallel.replicate(state, self.config.batch_size)

    def reason_to_stop(self, step: int, signals: list[str]) -> str | None:
        """A word for the summary, or None to go on."""
        wanted = self.config.stop_when_solved
        last = self.evaluations[-wanted:] if wanted else []
        if len(last) == wanted > 0 and all(line["solved"] for line in last):
            return "solved"
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
        state, measured = self.updates.run(state, length)
        return state, jax.device_get(measured)

    def report(self, state: TrainState, measured: Measured, step: int) -> None:
        """One line of metrics; stops the run if nothing is finite any more."""
        fine = measured.skipped_in_a_row == 0
        line = {
            name: float(np.mean(values[fine])) if fine.any() else None
            for name, values in measured._asdict().items()
            if name != "skipped_in_a_row"
        }
        line["skipped"] = int(state.optimizer_state.total_notfinite)
        self.record("training", step, line)
        self.progress.advance(step)
        too_many = np.flatnonzero(measured.skipped_in_a_row >= self.config.max_skipped)
        if too_many.size:
            last = self.checkpoints.latest_step()
            where = self.checkpoints.path(last) if last else "none yet"
            raise TrainingError(
                f"update {step - len(fine) + too_many[0] + 1}: the loss or its gradient was not "
                f"finite for {self.config.max_skipped} updates in a row, and they were skipped; "
                f"last good checkpoint: {where}. Try a smaller learning_rate or clip_norm, or "
                "another seed."
            )

    def evaluate(self, state: TrainState, step: int) -> None:
        """Scores all lengths, and shows and stores the result."""
        results = evaluation.evaluate(
            self.updates.model,
            state.params,
            self.updates.task,
            self.config.eval_lengths,
            self.config.eval_sequences,
            # Other sequences each time: a machine that fails on one in a thousand, an empty first
            # vector say, would pass again and again on sequences that have none.
            seed=step,
        )
        solved = evaluation.is_solved(results, self.updates.task.max_length)
        errors = {str(r.length): r.bit_errors_per_sequence for r in results}
        self.record("evaluation", step, {"bit_errors_per_sequence": errors, "solved": solved})
        shown = "  ".join(f"{length}: {count:.3g}" for length, count in errors.items())
        self.progress.say(
            f"update {step:>6}  {self.seconds():6.1f} s  bit errors by length  {shown}"
            + ("  solved" if solved else "")
        )

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """One line of metrics.jsonl, and the same to TensorBoard."""
        line = {"kind": kind, "step": step, "sequences": step * self.config.batch_size, **values}
        runs.append_metrics(self.workdir, {**line, "seconds": round(self.seconds(), 3)})
        self.progress.scalars(step, kind, values)
        if kind == "evaluation":
            self.evaluations.append(line)

    def finish(self, state: TrainState, step: int, stopped: str) -> dict[str, Any]:
        """Writes the summary and says how it ended."""
        last = self.evaluations[-1]
        solved_at = next((line for line in self.evaluations if line["solved"]), None)
        summary = {
            "task": self.config.task.name,
            "model": self.config.model.name,
            "seed": self.config.seed,
            "num_params": models.num_params(state.params),
            "stopped": stopped,
            "step": step,
            "sequences": step * self.config.batch_size,
            "solved": last["solved"],
            "first_solved_at_step": solved_at["step"] if solved_at else None,
            "bit_errors_per_sequence": last["bit_errors_per_sequence"],
            "skipped_updates": int(state.optimizer_state.total_notfinite),
            "seconds": round(self.seconds(), 3),
            "compile_seconds": round(self.compile_seconds, 3),
            "devices": parallel.describe_devices(self.config.batch_size),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
            },
        }
        runs.write_json(self.workdir / "summary.json", summary)
        saying = {
            "solved": f"solved at {self.config.stop_when_solved} evaluations in a row, stopped "
            "early (--config.stop_when_solved=0 goes on)",
            "num_steps": "all updates done" + ("" if last["solved"] else ", not solved"),
        }.get(stopped, f"interrupted by {stopped}; the same command resumes")
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
