"""The training loop: `train(config, workdir)`."""

import concurrent.futures
import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ntm_jax import models
from ntm_jax.evaluation import scoring, traces
from ntm_jax.runtime import distributed, preemption, provenance
from ntm_jax.tasks.base import Size
from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import Checkpoints
from ntm_jax.training.config import ConfigError
from ntm_jax.training.ensemble import Ensemble, summarize_members
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.metrics_logger import MetricsLogger, NullLogger, OnMetrics
from ntm_jax.training.restore import load_source, restore_ensemble, take_params
from ntm_jax.training.train_step import TrainState
from ntm_jax.training.trainer import Trainer

__all__ = ["TrainingError", "train"]

# What continues a run that ended for this reason.
_CONTINUES = {"num_train_steps": "num_train_steps", "solved": "train_steps_after_solved"}


class TrainingError(RuntimeError):
    """Training cannot continue; the message names the step and the latest checkpoint."""


def train(
    config: ConfigDict,
    workdir: Path,
    on_metrics: OnMetrics | None = None,
    trace_every_evals: int = 0,
) -> dict[str, Any]:
    """Trains until all members are solved, or for `num_train_steps`; resumes an existing run.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 store a checkpoint and stop; a second one stops at once.
    With several processes, process 0 alone reads and writes `workdir`, and a signal to one stops
    all.

    Args:
      config: the config that a file under `configs/` returns.
      workdir: the run directory; created if it does not exist.
      on_metrics: called with the completed training steps and numbers by name, such as
        {"training/loss": 0.5}, after each line of metrics.jsonl; by process 0 alone. An error in it
        ends the training.
      trace_every_evals: number of evaluations from one trace to the next: the memory access of the
        first member in one sequence, the same each time, is stored in `traces` and drawn for
        TensorBoard. The last evaluation has one too. 0 stores none.

    Returns:
      The contents of summary.json. "stop_reason" is "solved", "num_train_steps", the name
      of the signal, or "not finite" if some members failed and the others are solved.

    Raises:
      ConfigError: the config is not valid, or traces are asked of a model without a memory.
      RunError: `workdir` is locked, or holds a run with another config.
      CheckpointError: no checkpoint of the run is valid, or the next one cannot be stored.
      TrainingError: all members skipped `max_consecutive_nonfinite` training steps in a row, the
        disk is full, the memory does not suffice, or another process was lost.
    """
    start_time = time.monotonic()
    experiment = Experiment.from_config(config)
    experiment.check_training_memory()
    experiment.check_evaluation_memory(experiment.eval_sizes, config.num_seeds)
    if trace_every_evals and experiment.num_slots is None:
        name = config.model.name
        raise ConfigError(f"trace_every_evals: expected a model with a memory, got {name}")
    trainer = experiment.make_trainer()
    workdir = Path(workdir)
    checkpoints = Checkpoints(workdir)
    with (
        _errors_with_checkpoint(workdir, checkpoints),
        preemption.capture_signals() as signals,
        contextlib.ExitStack() as stack,
    ):
        changed = distributed.run_on_process_0(_open_run_dir, stack, workdir, config)
        step, state, messages, history = _restore_or_init(workdir, config, checkpoints, trainer)
        ensemble = restore_ensemble(experiment, history, workdir / "metrics.jsonl")
        _check_continues(workdir, config, changed, ensemble, step, state)
        if changed:  # also in a new directory, which stays empty if `init_from` fails
            distributed.run_on_process_0(run_dir.write_config, workdir, config)
        first_step = step
        logger: MetricsLogger | NullLogger = NullLogger()
        if distributed.is_process_0():
            start_time -= history[-1]["seconds"] if history else 0.0
            logger = MetricsLogger(
                workdir, step, config.num_train_steps, config.batch_size, start_time, on_metrics
            )
        stack.enter_context(logger)
        num_params = models.num_params(state.params) // len(ensemble)
        logger.log_json(step, "config", config.to_dict())
        for line in (*messages, _start_message(config, workdir, trainer, num_params, step)):
            logger.log(line)
        compile_seconds = 0.0
        compilations = _compile_evaluations(stack, experiment, config, state)

        while True:
            if _evaluation_is_due(experiment, ensemble, step):
                concurrent.futures.wait(compilations)
                errors = _evaluate(experiment, config, state, step, signals)
                if errors is not None:  # not interrupted
                    ensemble.update(step, errors)
                    solved = [tracker.solved for tracker in ensemble.trackers]
                    logger.log_evaluation(step, experiment.task, errors, solved)
                    logger.expect_last_step(ensemble.expected_last_step(config.eval_every_steps))
                    is_last = ensemble.stop_reason or step >= config.num_train_steps
                    num_evals = step // config.eval_every_steps
                    if trace_every_evals and (is_last or num_evals % trace_every_evals == 0):
                        params = distributed.fetch_to_host(state.ema_params)
                        logger.log_trace(step, *_trace(experiment, params))

            # Also for a finished run that trains on from its last evaluation.
            was_evaluated = ensemble.evaluated_at_step == step < config.num_train_steps
            if was_evaluated and (stalled := ensemble.stalled(step)):
                ensemble.mark_restarted(step, stalled)
                logger.log_restarted(step, stalled)
                state = trainer.restart(state, [s in stalled for s in ensemble.seeds])

            stop_reason = ensemble.stop_reason
            if stop_reason is None and step >= config.num_train_steps:
                stop_reason = "num_train_steps"
            # A signal does not stop a finished run, unless it interrupted the last evaluation.
            if stop_reason is None or _evaluation_is_due(experiment, ensemble, step):
                stop_reason = distributed.sync_signal(signals) or stop_reason
            if stop_reason or (step and step % config.checkpoint_every_steps == 0):
                # Metrics first: after a power cut, no checkpoint is newer than its metrics.
                logger.flush()
                _save(checkpoints, trainer, state, step)
            if stop_reason:
                break

            num_steps = _steps_until_log(config, step)
            compile_start = time.monotonic()
            trainer.compile(state, num_steps)
            compile_seconds += time.monotonic() - compile_start
            active = ensemble.active
            run_start = time.monotonic()
            state, metrics = trainer.run(state, num_steps, active)
            step += num_steps
            metrics, skipped = _to_host((metrics, state.optimizer_state.total_notfinite))
            rate = num_steps * config.batch_size * sum(active) / (time.monotonic() - run_start)
            skipped = skipped.tolist()
            learning_rates = zip(
                experiment.learning_rates(ensemble.num_updates(step, skipped)), active, strict=True
            )
            rates = {
                "sequences_per_second": rate,
                "learning_rate": summarize_members([r if a else None for r, a in learning_rates]),
            }
            logger.log_training(step, metrics, skipped, active, _unused_metrics(config), rates)
            failed = ensemble.mark_failed(metrics.consecutive_nonfinite)
            _log_failed(logger, checkpoints, config, ensemble, failed, step, num_steps)

        steps, skipped = _to_host((state.step, state.optimizer_state.total_notfinite))
        members = ensemble.summaries(steps.tolist(), skipped.tolist())
        summary = {
            "task": config.task.name,
            "model": config.model.name,
            "num_params": num_params,
            "stop_reason": stop_reason,
            **(members[0] if len(members) == 1 else {"members": members}),
            "seconds": round(logger.seconds, 3),
            "compile_seconds": round(compile_seconds, 3),
            **provenance.provenance(),
            "devices": str(trainer.mesh),
        }
        if distributed.is_process_0():
            summary = run_dir.write_summary(workdir, summary)
        logger.log_json(step, "summary", summary)
        logger.log(_end_message(config, ensemble, summary, step, checkpoints.path(step)))
        if step == first_step > 0 and (key := _CONTINUES.get(stop_reason)):
            logger.log(f"a larger --config.{key} trains on")
        return summary


@contextlib.contextmanager
def _errors_with_checkpoint(workdir: Path, checkpoints: Checkpoints) -> Iterator[None]:
    """Turns errors of the disk, the memory and other processes into one line each."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{workdir}: cannot write to the run directory: {error}; "
            f"{checkpoints.latest_checkpoint_message()}; the same command resumes from it"
        ) from error
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else repr(error)
        if distributed.is_lost_process_error(error):
            raise TrainingError(f"{distributed.LOST_PROCESS_MESSAGE} ({first_line})") from error
        if "RESOURCE_EXHAUSTED" not in first_line:
            raise
        raise TrainingError(
            f"{workdir}: a training step does not fit into memory: {first_line}; "
            f"{checkpoints.latest_checkpoint_message()}. Try a smaller batch_size or model, or a "
            "model.remat_chunk_size of about the square root of the number of time steps."
        ) from error


def _open_run_dir(stack: contextlib.ExitStack, workdir: Path, config: ConfigDict) -> list[str]:
    stack.enter_context(run_dir.lock(workdir))
    return run_dir.check_config(workdir, config)


def _check_continues(
    workdir: Path,
    config: ConfigDict,
    changed: Sequence[str],
    ensemble: Ensemble,
    step: int,
    state: TrainState,
) -> None:
    """Checks that training can go on from the restored step with another value of some keys."""
    if step > config.num_train_steps:
        raise run_dir.RunError(
            f"{workdir} holds a run of {step} training steps: expected num_train_steps of at least "
            f"that, got {config.num_train_steps}"
        )
    if step == 0 or "train_steps_after_solved" not in changed:
        return
    members = zip(ensemble.seeds, _to_host(state.step).tolist(), strict=True)
    if earlier := [str(seed) for seed, own_step in members if own_step < step]:
        raise run_dir.RunError(
            f"{workdir}: expected train_steps_after_solved as it was, since members stopped before "
            f"step {step} (seeds {', '.join(earlier)}), got {config.train_steps_after_solved}; "
            "choose another --workdir"
        )


def _restore_or_init(
    workdir: Path, config: ConfigDict, checkpoints: Checkpoints, trainer: Trainer
) -> tuple[int, TrainState, list[str], list[dict[str, Any]]]:
    """Returns the step and state to start from, messages, and the metrics up to that step."""
    state = trainer.init()

    def restore() -> tuple[Any, list[dict[str, Any]]]:
        checkpoint = checkpoints.restore_latest(*trainer.to_checkpoint(state))
        step = checkpoint.step if checkpoint else 0
        checkpoints.remove_after(step)
        return checkpoint, run_dir.truncate_metrics(workdir, step)

    checkpoint, history = distributed.run_on_process_0(restore)
    if checkpoint is None:
        if not config.init_from:
            return 0, state, [], history
        own = _to_host(state.params)
        params, message = distributed.run_on_process_0(
            lambda: take_params(own, load_source(config.init_from))
        )
        # The average starts from the same parameters.
        state = trainer.mesh.shard_members(state._replace(params=params, ema_params=params))
        return 0, state, [message], history
    state = trainer.from_checkpoint(checkpoint.params, checkpoint.train_state)
    return checkpoint.step, state, checkpoint.warnings, history


def _save(checkpoints: Checkpoints, trainer: Trainer, state: TrainState, step: int) -> None:
    """Stores a checkpoint, unless no member has finite parameters."""
    state = _to_host(state)
    if not models.finite_members((state.params, state.ema_params)).any():
        raise _not_finite_error(checkpoints, f"step {step}: the parameters are not finite")
    distributed.run_on_process_0(checkpoints.save, step, *trainer.to_checkpoint(state))


def _evaluation_is_due(experiment: Experiment, ensemble: Ensemble, step: int) -> bool:
    return experiment.is_evaluated(step) and ensemble.evaluated_at_step != step


def _compile_evaluations(
    stack: contextlib.ExitStack, experiment: Experiment, config: ConfigDict, state: TrainState
) -> list[concurrent.futures.Future]:
    """Compiles the evaluations in a thread while the training step is compiled.

    On a GPU these take about as long as the training step. A CPU has no idle cores for them.
    """
    if jax.default_backend() == "cpu":
        return []
    params = distributed.fetch_to_host(state.ema_params)  # training donates the state
    executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    stack.callback(executor.shutdown, cancel_futures=True)
    args = experiment.model, params, experiment.task
    return [
        executor.submit(scoring.compile_evaluation, *args, [size], config.num_eval_sequences)
        for size in experiment.eval_sizes
    ]


def _evaluate(
    experiment: Experiment,
    config: ConfigDict,
    state: TrainState,
    step: int,
    signals: Sequence[str],
) -> dict[Size, list[float]] | None:
    """Returns the task's metric of every member by size; None if a signal interrupts.

    The sequences differ in every evaluation, so that a model that fails on one sequence in a
    thousand does not pass every time.
    """
    params, errors = distributed.fetch_to_host(state.ema_params), {}
    for size in experiment.eval_sizes:
        if distributed.sync_signal(signals):
            return None
        results = scoring.evaluate_members(
            experiment.model,
            params,
            experiment.task,
            [size],
            config.num_eval_sequences,
            seed=step,
        )
        scores = [getattr(result, experiment.task.metric) for (result,) in results]
        # JSON has no infinity: a resumed run reads back NaN for both.
        errors[size] = [score if np.isfinite(score) else np.nan for score in scores]
    # Every process evaluates on its own devices, but all must take the same decisions.
    return distributed.broadcast_from_process_0(errors)


def _trace(experiment: Experiment, params: Any) -> tuple[traces.ExampleTrace, Any]:
    """Returns the trace of one example, and the parameters of the first member."""
    params = jax.tree.map(lambda leaf: leaf[0], params)
    task = experiment.task
    size = traces.traced_size(task, experiment.eval_sizes)
    assert isinstance(experiment.model, models.NTM)  # `train` has checked it
    return traces.trace_example(experiment.model, params, task, size, seed=0), params


def _steps_until_log(config: ConfigDict, step: int) -> int:
    every = config.log_every_steps
    return min(every - step % every, config.num_train_steps - step)


def _to_host(tree: Any) -> Any:
    return jax.device_get(distributed.fetch_to_host(tree))


def _unused_metrics(config: ConfigDict) -> tuple[str, ...]:
    return () if config.curriculum == "growing" else ("curriculum_progress",)


def _not_finite_error(checkpoints: Checkpoints, message: str) -> TrainingError:
    return TrainingError(
        f"{message}; {checkpoints.latest_checkpoint_message()}. Try a smaller learning_rate or "
        "max_grad_norm, or another seed."
    )


def _log_failed(
    logger: MetricsLogger | NullLogger,
    checkpoints: Checkpoints,
    config: ConfigDict,
    ensemble: Ensemble,
    failed: dict[int, int],
    step: int,
    num_steps: int,
) -> None:
    """Writes which members failed; raises TrainingError if none is left."""
    for seed, index in failed.items():
        message = (
            f"step {step - num_steps + index + 1}: the loss or its gradient was not finite for "
            f"{config.max_consecutive_nonfinite} training steps in a row, which were skipped"
        )
        if ensemble.all_failed:
            raise _not_finite_error(checkpoints, message)
        logger.log(f"seed {seed} failed, {message}; the other seeds continue")
    if failed:
        logger.log_failed(step, list(failed))


def _start_message(
    config: ConfigDict, workdir: Path, trainer: Trainer, num_params: int, step: int
) -> str:
    slots = " and ".join(map(str, sorted(set(config.model.get("train_num_slots", ())))))
    return (
        f"{config.task.name}, {config.model.name}: {num_params:,} parameters, "
        + (f"{config.num_seeds} seeds, " if config.num_seeds > 1 else "")
        + (f"alternating between {slots} slots, " if " and " in slots else "")
        + f"{trainer.mesh}, {workdir}"
        + (f", resumed at step {step}" if step else "")
    )


def _end_message(
    config: ConfigDict, ensemble: Ensemble, summary: dict[str, Any], step: int, checkpoint: Path
) -> str:
    stop_reason = summary["stop_reason"]
    message = {
        "solved": f"solved in {config.solved_patience} consecutive evaluations",
        "num_train_steps": "completed all training steps",
        "not finite": "some seeds failed, the others are solved",
    }.get(stop_reason, f"interrupted by {stop_reason}; the same command resumes")
    if len(ensemble) > 1:
        message = f"solved {ensemble.success_rate()}; {message}"
    elif stop_reason == "num_train_steps" and not summary["solved"]:
        message += ", not solved"
    return f"{message}: step {step}, {summary['seconds']:.1f} s, checkpoint {checkpoint}"
