"""What a run shows while it goes: lines, a bar on a terminal, TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import Any

import tensorboardX
from rich import progress
from rich.console import Console
from rich.text import Text

__all__ = ["Progress"]


class _Rate(progress.ProgressColumn):
    def render(self, task: progress.Task) -> Text:
        return Text(f"{task.speed:.0f} updates/s" if task.speed else "compiling")


class Progress:
    """Lines go to train.log and to standard output; a terminal also gets a bar.

    Args:
      workdir: the run folder.
      total: updates of the whole run.
      step: updates already behind it.
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
        self._log = (workdir / "train.log").open("a")
        # What a crashed run wrote beyond its last checkpoint is written again.
        self._events = tensorboardX.SummaryWriter(str(workdir), purge_step=step + 1)

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
        self._log.close()
        self._events.close()

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
                self._events.add_scalar(f"{group}/{name}", float(value), step)
