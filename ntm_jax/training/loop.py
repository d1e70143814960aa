"""Training: `train(config, workdir)`, from a config to a run folder with a finished machine."""

import contextlib
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ntm_jax import models
from ntm_jax.evaluation import scoring
from ntm_jax.runtime import sharding, distributed, memory_estimate, preemption
from ntm_jax.training import experiment, run_dir
from ntm_jax.training import config as configs
from ntm_jax.training.checkpoints import Checkpoints, Restored
from ntm_jax.training.metrics_logger import Journal
from ntm_jax.training.ensemble import Members
from ntm_jax.training.progress import Progress, Silent
from ntm_jax.training.train_step import Measured, TrainState, Updates

__all__ = ["TrainingError", "train"]


class TrainingError(RuntimeError):
    """Training that cannot go on; the message names the step and the last good checkpoint."""


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Trains until solved, or for `num_steps` updates, resuming what is in `workdir`.

    Ctrl-C and SIGTERM store a checkpoint first; a second one stops at once. Of several processes
    the first one alone reads and writes `workdir`, and a signal to any of them is for all.

    Args:
      config: as a file under `configs/` returns it.
      workdir: the run folder; made if it is not there.

    Returns:
      What summary.json says; "stopped" is "solved", "num_steps", "SIGINT", "SIGTERM", or of an
      ensemble "not finite", if some members were lost to that and the others are solved.

    Raises:
      ConfigError: the config cannot be run.
      RunError: `workdir` holds a run of another config, or one that another process trains.
      CheckpointError: no checkpoint of the run is good, or the next cannot be stored.
      TrainingError: no member has had finite values for `max_skipped` updates in a row, or the
        folder cannot be written to.
    """
    started = time.monotonic()
    configs.validate(config)
    task, optimizer = experiment.make_task(config), experiment.make_optimizer(config)
    curriculum = experiment.make_curriculum(config)
    trained, sizes = experiment.make_trained_models(config), configs.eval_sizes(config)
    memory_estimate.check_training(config, task, trained[-1])
    memory_estimate.check_evaluation(config, task, experiment.make_model(config), sizes, config.num_seeds)
    try:
        sharding.Devices(config.num_seeds, config.batch_size)
    except ValueError as error:
        raise configs.ConfigError(str(error)) from None
    workdir = Path(workdir)
    checkpoints = Checkpoints(workdir)
    try:
        with preemption.noted() as received, contextlib.ExitStack() as held:
            distributed.by_first(_open, held, workdir, config)
            updates = Updates(
                trained,
                task,
                optimizer,
                config.batch_size,
                configs.seeds(config),
                config.ema_decay,
                curriculum,
            )
            step, state, remarks, history = _restore(workdir, checkpoints, updates)
            members = Members(config, task, history)
            shown = Progress(workdir, config.num_steps, step) if distributed.is_first() else Silent()
            with shown as progress:
                journal = Journal(
                    config,
                    task,
                    workdir,
                    progress,
                    members,
                    models.num_params(state.params) // len(members),
                    str(updates.devices),
                    started,
                    before=history[-1]["seconds"] if history else 0.0,
                )
                for remark in remarks:
                    journal.say(remark)
                journal.begin(step)
                loop = _Loop(config, updates, checkpoints, members, journal, received)
                return loop.go(step, state)
    except OSError as error:
        raise TrainingError(
            f"{workdir}: expected a folder that can be written to, got: {error}; "
            f"{checkpoints.last()}; once it can be, the same command goes on"
        ) from error
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if distributed.is_loss(error):
            raise TrainingError(f"{distributed.GONE} ({str(error).splitlines()[0]})") from error
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise TrainingError(
            f"{workdir}: expected an update that fits into memory, got: "
            f"{str(error).splitlines()[0]}; {checkpoints.last()}. Try a smaller batch_size or "
            "model, or a model.segment of about the root of the steps."
        ) from error


def _open(held: contextlib.ExitStack, workdir: Path, config: ConfigDict) -> None:
    """Locks the run folder until `held` is closed, and opens it."""
    held.enter_context(run_dir.locked(workdir))
    run_dir.open_run(workdir, config)


def _restore(
    workdir: Path, checkpoints: Checkpoints, updates: Updates
) -> tuple[int, TrainState, list[str], list[dict[str, Any]]]:
    """Updates that are behind a run, the state after them, what to say of it, and its metrics."""
    state = updates.init()

    def read() -> tuple[Restored | None, list[dict[str, Any]]]:
        found = checkpoints.restore_newest(*updates.to_checkpoint(state))
        step = found.step if found else 0
        checkpoints.remove_after(step)
        return found, run_dir.keep_metrics_until(workdir, step)

    found, history = distributed.by_first(read)
    if found is None:
        return 0, state, [], history
    state = updates.from_checkpoint(found.params, found.optimizer_state)
    return found.step, updates.devices.put_members(state), found.remarks, history


class _Loop:
    """The host's side of training: one call of `train`."""

    def __init__(
        self,
        config: ConfigDict,
        updates: Updates,
        checkpoints: Checkpoints,
        members: Members,
        journal: Journal,
        received: list[str],
    ) -> None:
        self.config, self.updates, self.checkpoints = config, updates, checkpoints
        self.members, self.journal, self.received = members, journal, received
        self.model = experiment.make_model(config)
        self.compile_seconds = 0.0

    def go(self, step: int, state: TrainState) -> dict[str, Any]:
        """Trains from `step` to the end, and returns the summary."""
        while True:
            if self.evaluation_is_due(step):
                state = self.evaluate(state, step)
            stopped = self.reason_to_stop(step)
            if stopped or (step and step % self.config.checkpoint_every == 0):
                self.save(state, step)
            if stopped:
                return self.journal.end(
                    stopped,
                    step,
                    distributed.whole(state.step).tolist(),
                    _skipped(state),
                    self.compile_seconds,
                    self.checkpoints.path(step),
                )
            state, measured = self.advance(state, step)
            step += len(measured.loss)
            self.report(state, measured, step)

    def save(self, state: TrainState, step: int) -> None:
        """Stores a checkpoint."""
        finite = [
            np.isfinite(leaf).all(axis=tuple(range(1, leaf.ndim)))
            for leaf in _read(jax.tree.leaves((state.params, state.average)))
        ]
        if not np.all(finite, axis=0).any():
            raise self.error(f"update {step}: expected finite parameters, got others")
        # Before the checkpoint: a power cut must not leave one that is ahead of them.
        self.journal.flush()
        items = distributed.whole(self.updates.to_checkpoint(state))
        distributed.by_first(self.checkpoints.save, step, *items)

    def error(self, message: str) -> TrainingError:
        """What stops a run whose numbers are no longer finite."""
        return TrainingError(
            f"{message}; {self.checkpoints.last()}. Try a smaller learning_rate or clip_norm, or "
            "another seed."
        )

    def evaluation_is_due(self, step: int) -> bool:
        """Whether there is to be an evaluation now that there was not yet."""
        # Not before the first update: what compiling takes would come before any sign of training.
        due = step % self.config.eval_every == 0 or step == self.config.num_steps
        return step > 0 and due and self.members.evaluated_at != step

    def reason_to_stop(self, step: int) -> str | None:
        """A word for the summary, or None to go on."""
        if signal := distributed.agreed(self.received):  # first: it may have cut an evaluation short
            return signal
        if self.members.stopped:
            return self.members.stopped
        return "num_steps" if step >= self.config.num_steps else None

    def advance(self, state: TrainState, step: int) -> tuple[TrainState, Measured]:
        """The updates up to the next line of the log."""
        every = self.config.log_every
        length = min(every - step % every, self.config.num_steps - step)
        began = time.monotonic()
        self.updates.compile(state, length)
        self.compile_seconds += time.monotonic() - began
        state, measured = self.updates.run(state, length, self.members.going_on)
        return state, _read(measured)

    def report(self, state: TrainState, measured: Measured, step: int) -> None:
        """One line of metrics; stops the run if nothing is finite any more."""
        self.journal.updates(step, measured, _skipped(state))
        lost = self.members.lose(np.asarray(measured.skipped_in_a_row))
        for seed, index in lost:
            message = (
                f"update {step - len(measured.loss) + index + 1}: the loss or its gradient was not "
                f"finite for {self.config.max_skipped} updates in a row, and they were skipped"
            )
            if self.members.failed:
                raise self.error(message)
            self.journal.say(f"seed {seed}, {message}; it stays as it is, the others go on")
        if lost:
            self.journal.lost(step, [seed for seed, _ in lost])

    def evaluate(self, state: TrainState, step: int) -> TrainState:
        """Scores all sizes, and begins members anew that are stuck.

        Or it does not, if the run is interrupted: resumed, it makes up for it.
        """
        params, by_size = distributed.whole(state.average), []
        for size in configs.eval_sizes(self.config):
            if distributed.agreed(self.received):
                return state
            results = scoring.evaluate_members(
                self.model,
                params,
                self.updates.task,
                [size],
                self.config.eval_sequences,
                # Other sequences each time: a machine that fails on one in a thousand, an empty
                # first vector say, would pass again and again on sequences that have none.
                seed=step,
            )
            by_size.append([of_member for (of_member,) in results])
        # Every process has scored all on its own devices; they have to decide alike.
        by_size = distributed.of_first(by_size)
        self.journal.evaluation(step, by_size)
        stuck = self.members.stuck(step)
        if not stuck or step >= self.config.num_steps:
            return state
        self.members.restart(step, stuck)
        self.journal.restarted(step, stuck)
        return self.updates.restart(state, [seed in stuck for seed in self.members.seeds])


def _skipped(state: TrainState) -> list[int]:
    """Updates that each member has skipped."""
    return distributed.whole(state.optimizer_state.total_notfinite).tolist()


def _read(tree: Any) -> Any:
    """As NumPy arrays."""
    return jax.device_get(distributed.whole(tree))
