"""What a run shows while it goes: lines, a bar on a terminal, TensorBoard."""

import contextlib
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import progress
from rich.console import Console
from rich.text import Text
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

__all__ = ["Progress", "Silent"]


class _Rate(progress.ProgressColumn):
    def render(self, task: progress.Task) -> Text:
        return Text(f"{task.speed:.0f} updates/s" if task.speed else "compiling")


class Progress:
    """Lines go to train.log and to standard output; a terminal also gets a bar.

    Args:
      workdir: the run folder.
      total: updates of the whole run.
      step: updates already behind it.

    Raises:
      OSError: here and in all methods, if the folder cannot be written to.
    """

    def __init__(self, workdir: Path, total: int, step: int) -> None:
        self._console = Console(highlight=False)
        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            _Rate(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=total, completed=step)
        with contextlib.ExitStack() as open_files:
            self._log = open_files.enter_context((workdir / "train.log").open("a"))
            # Not its SummaryWriter: that writes in a thread, which a full disk ends, with a
            # traceback, and then waits for ever.
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
            self._events = open_files.enter_context(
                contextlib.closing(RecordWriter(str(workdir / name)))
            )
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
            # What a crashed run wrote beyond its last checkpoint is written again.
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=step + 1, session_log=start))
            self._open_files = open_files.pop_all()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        self._open_files.close()

    def say(self, line: str) -> None:
        """Writes a line to the log and shows it."""
        self._log.write(line + "\n")
        self._log.flush()
        self._console.print(line, markup=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._bar.update(self._task, completed=step)

    def scalars(self, step: int, group: str, values: dict[str, Any]) -> None:
        """Sends the numbers among the values to TensorBoard."""
        for name, value in values.items():
            if isinstance(value, list):
                value = {str(index): inner for index, inner in enumerate(value)}
            if isinstance(value, dict):
                self.scalars(step, f"{group}/{name}", value)
            elif value is not None:
                scalar = summary.scalar(f"{group}/{name}", float(value))
                self._write(Event(wall_time=time.time(), step=step, summary=scalar))

    def flush(self) -> None:
        """Puts on the disk what TensorBoard shows: a checkpoint is not ahead of it."""
        self._events.flush()

    def _write(self, event: Event) -> None:
        self._events.write(event.SerializeToString())


class Silent:
    """A `Progress` that shows nothing: of a process that is not the first."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def say(self, line: str) -> None:
        """Says nothing."""

    def advance(self, step: int) -> None:
        """Moves nothing."""

    def scalars(self, step: int, group: str, values: dict[str, Any]) -> None:
        """Sends nothing."""

    def flush(self) -> None:
        """Waits for nothing."""
