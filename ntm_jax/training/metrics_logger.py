"""The logger of a run: console, train.log, metrics.jsonl and TensorBoard.

It does not change the state of training.
"""

import contextlib
import importlib.util
import io
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from flax import traverse_util
from rich import progress
from rich.console import Console
from rich.text import Text
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from ntm_jax.evaluation import tables, traces
from ntm_jax.evaluation.traces import ExampleTrace
from ntm_jax.runtime import files
from ntm_jax.runtime.command_line import SafeStream
from ntm_jax.tasks.base import Size, Task, format_size
from ntm_jax.training import run_dir
from ntm_jax.training.ensemble import member_values, summarize_members
from ntm_jax.training.train_step import TrainMetrics

__all__ = ["MetricsLogger", "NullLogger", "OnMetrics"]

# Called with the completed training steps, and numbers by the names that TensorBoard shows.
OnMetrics = Callable[[int, dict[str, float]], None]

_FIGURE_DPI = 80  # of TensorBoard's figures


class _StepRate(progress.ProgressColumn):
    def render(self, task: progress.Task) -> Text:
        return Text(f"{task.speed:.0f} steps/s" if task.speed else "compiling")


class _RemainingTime(progress.ProgressColumn):
    """The time to the last step: an upper bound, unless the last evaluation was solved."""

    def render(self, task: progress.Task) -> Text:
        if not task.speed:
            return Text("")
        remaining = max(task.fields["last_step"] - task.completed, 0) / task.speed
        minutes, seconds = divmod(round(remaining), 60)
        return Text(f"{task.fields['bound']} {minutes}:{seconds:02d} left")


def _draw(step: int, example: ExampleTrace) -> bytes:
    """Returns the figure of the memory access, as PNG."""
    from ntm_jax.evaluation import plots  # matplotlib is an extra, and slow to import

    title = f"Memory access after {step:,} training steps"
    arrays = example.inputs, example.outputs, example.steps
    figure = plots.plot_memory_access(*arrays, title, example.first_scored_step)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_FIGURE_DPI)
    return buffer.getvalue()


def _scalars(group: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields the numbers in nested values by their names, such as "training/loss/median"."""
    for name, value in values.items():
        if isinstance(value, list):
            value = {str(index): inner for index, inner in enumerate(value)}
        if isinstance(value, dict):
            yield from _scalars(f"{group}/{name}", value)
        elif value is not None:
            yield f"{group}/{name}", float(value)


class MetricsLogger:
    """Writes to the run directory and to the console; a terminal also shows a progress bar.

    Args:
      workdir: the run directory.
      step: training steps completed before this process.
      num_train_steps: training steps of the whole run.
      batch_size: sequences per training step.
      start_time: value of `time.monotonic` at which the wall time of the run is zero.
      on_metrics: called with the numbers of each line of metrics.jsonl, once they are written.

    Raises:
      OSError: here and in all methods, if the directory cannot be written to.
    """

    def __init__(
        self,
        workdir: Path,
        step: int,
        num_train_steps: int,
        batch_size: int,
        start_time: float,
        on_metrics: OnMetrics | None = None,
    ) -> None:
        self._workdir, self._batch_size, self._start_time = workdir, batch_size, start_time
        self._on_metrics = on_metrics
        self._console = Console(file=SafeStream(sys.stdout), highlight=False)  # type: ignore[arg-type]
        self._progress = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            _StepRate(),
            progress.TextColumn("{task.fields[losses]}"),
            _RemainingTime(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._num_train_steps = num_train_steps
        self._bar = self._progress.add_task(
            "training", total=num_train_steps, completed=step, losses=""
        )
        self.expect_last_step(None)
        with contextlib.ExitStack() as stack:
            self._log = stack.enter_context(
                (workdir / "train.log").open("a", encoding="utf-8", errors="backslashreplace")
            )
            # SummaryWriter writes in a thread, which hangs the process when the disk is full.
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
            writer = RecordWriter(str((workdir / name).absolute()))  # "s3:" is a bucket
            self._events = stack.enter_context(contextlib.closing(writer))
            self._write_event(file_version="brain.Event:2")
            # TensorBoard drops what a crashed run wrote after its last checkpoint.
            self._write_event(step=step + 1, session_log=SessionLog(status=SessionLog.START))
            # Training goes on while the thread draws.
            self._thread = stack.enter_context(ThreadPoolExecutor(max_workers=1))
            self._figure: tuple[int, Future[bytes]] | None = None
            self._open_files = stack.pop_all()

    def __enter__(self) -> "MetricsLogger":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        with self._open_files:
            if kind is None:
                self._write_figure()

    def log(self, line: str) -> None:
        """Writes a line to train.log and to the console."""
        self._log.write(line + "\n")
        self._log.flush()
        self._console.print(line, markup=False, soft_wrap=True)

    def log_training(
        self,
        step: int,
        metrics: TrainMetrics,
        skipped: Sequence[int],
        active: Sequence[bool],
        omit: Sequence[str] = (),
        rates: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes the means of the metrics of the last training steps.

        Args:
          step: completed training steps.
          metrics: NumPy arrays [U, E] of the last U steps; skipped steps do not count.
          skipped: training steps that each member has skipped so far.
          active: which members trained; the others have no metrics.
          omit: fields of `TrainMetrics` that are not written.
          rates: more values; metrics.jsonl, whose lines do not depend on the host, lacks them.
        """
        counts = (metrics.consecutive_nonfinite == 0) & np.asarray(active)
        means = {
            name: summarize_members(
                [
                    float(np.mean(values[kept, member])) if kept.any() else None
                    for member, kept in enumerate(counts.T)
                ]
            )
            for name, values in metrics._asdict().items()
            if name not in ("consecutive_nonfinite", *omit)
        }
        skipped_steps = [n if trains else None for n, trains in zip(skipped, active, strict=True)]
        values = {**means, "skipped_steps": summarize_members(skipped_steps)}
        self._write("training", step, values, rates)
        loss, bits = (
            np.median([v for v in member_values(means[name]) if v is not None] or [np.nan])
            for name in ("loss", "bits_per_sequence")
        )
        self._progress.update(
            self._bar, completed=step, losses=f"loss {loss:.3g}, {bits:.3g} bits/sequence"
        )

    def log_json(self, step: int, name: str, value: Mapping[str, Any]) -> None:
        """Writes the config or the summary of the run to TensorBoard, as text."""
        text = f"```json\n{json.dumps(files.json_value(value), indent=2)}\n```"
        self._write_event(step=step, summary=summary.text(name, text))

    def expect_last_step(self, last_step: int | None) -> None:
        """Sets the step for which the progress bar estimates the remaining time; None: unknown."""
        bound = "at most" if last_step is None else "about"
        last_step = min(last_step or self._num_train_steps, self._num_train_steps)
        self._progress.update(self._bar, last_step=last_step, bound=bound)

    def log_evaluation(
        self,
        step: int,
        task: Task,
        errors: Mapping[Size, Sequence[float]],
        solved: Sequence[bool],
    ) -> None:
        """Writes an evaluation.

        Args:
          step: completed training steps.
          task: the task, with the names of its metric and size axes.
          errors: the metric of every member, by size.
          solved: for each member, whether the evaluation is solved.
        """
        by_size = {format_size(size): summarize_members(v) for size, v in errors.items()}
        single = len(solved) == 1
        values = {task.metric: by_size, "solved": solved[0] if single else list(solved)}
        self._write("evaluation", step, values)
        medians = "  ".join(
            f"{size}: {np.median(member_values(value)):.3g}" for size, value in by_size.items()
        )
        verdict = f"  (medians)  {sum(solved)} of {len(solved)} solved"
        if single:
            verdict = "  solved" if solved[0] else ""
        self.log(
            f"step {step:>6}  {self.seconds:6.1f} s  "
            f"{tables.describe_metric(task.metric)[0]} "
            f"by {' x '.join(task.size_axes) or 'size'}  {medians}{verdict}"
        )

    def log_trace(self, step: int, example: ExampleTrace, params: Any) -> None:
        """Writes the memory access in one sequence, and a summary of the parameters.

        traces/STEP.npz gets the arrays of the example, and of each parameter, under "params/", the
        root mean square, the smallest and the largest value. TensorBoard gets histograms of the
        gates, strengths and sharpnesses of each kind of head, and, with matplotlib, a figure.

        Args:
          step: completed training steps.
          example: the trace of the example, of one member.
          params: the parameters of this member.
        """
        arrays: dict[str, Any] = {**traces.as_arrays(example)}
        for path, leaf in traverse_util.flatten_dict(params, sep="/").items():
            values = np.asarray(leaf, np.float32)
            rms = np.sqrt(np.mean(np.square(values)))
            arrays[f"params/{path}"] = np.stack([rms, values.min(), values.max()])
        directory = self._workdir / "traces"
        directory.mkdir(exist_ok=True)
        files.write_npz(directory / f"{step}.npz", arrays)

        for kind in ("read", "write"):
            for name in ("gate", "strength", "sharpness"):
                values = np.asarray(arrays[f"{kind}_{name}"])
                values, tag = values[np.isfinite(values)], f"{kind}_heads/{name}"
                if values.size:
                    self._write_event(step=step, summary=summary.histogram(tag, values, "auto"))
        if importlib.util.find_spec("matplotlib") is not None:
            self._write_figure()
            self._figure = step, self._thread.submit(_draw, step, example)

    def log_failed(self, step: int, seeds: Sequence[int]) -> None:
        """Writes which members failed, so that a resumed run does not train them either."""
        self._write("failed", step, {"seeds": list(seeds)})

    def log_restarted(self, step: int, seeds: Sequence[int]) -> None:
        """Writes which members were re-initialized."""
        self._write("restarted", step, {"seeds": list(seeds)})
        self.log(f"step {step:>6}  restarted seeds still at chance: {', '.join(map(str, seeds))}")

    def flush(self) -> None:
        """Waits until all metrics are on the disk, but for a figure that is being drawn."""
        files.flush(self._workdir / "metrics.jsonl")
        self._events.flush()

    def _write_figure(self) -> None:
        """Waits for the figure that is being drawn, and writes it."""
        if self._figure is None:
            return
        (step, figure), self._figure = self._figure, None
        try:
            image = Summary.Image(encoded_image_string=figure.result())
        except Exception as error:  # training does not depend on the figure
            self.log(f"step {step:>6}  cannot draw the memory access: {files.one_line(error)}")
            return
        value = Summary.Value(tag="memory_access", image=image)
        self._write_event(step=step, summary=Summary(value=[value]))

    @property
    def seconds(self) -> float:
        """Wall time of the run in seconds, over all processes that continued it."""
        return time.monotonic() - self._start_time

    def _write(
        self,
        kind: str,
        step: int,
        values: Mapping[str, Any],
        rates: Mapping[str, Any] | None = None,
    ) -> None:
        line = {"kind": kind, "step": step, "sequences": step * self._batch_size, **values}
        run_dir.append_metrics(self._workdir, {**line, "seconds": round(self.seconds, 3)})
        scalars = dict(_scalars(kind, {**values, **(rates or {})}))
        for name, value in scalars.items():
            self._write_event(step=step, summary=summary.scalar(name, value))
        if self._on_metrics is not None:
            self._on_metrics(step, scalars)

    def _write_event(self, **fields: Any) -> None:
        self._events.write(Event(wall_time=time.time(), **fields).SerializeToString())


class NullLogger:
    """A `MetricsLogger` that writes nothing, for all processes but process 0."""

    seconds = 0.0

    def __enter__(self) -> "NullLogger":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def _ignore(self, *args: Any, **kwargs: Any) -> None:
        """Writes nothing."""

    log = log_training = log_evaluation = log_failed = log_restarted = flush = _ignore
    log_json = log_trace = expect_last_step = _ignore
