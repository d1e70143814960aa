"""Reads and appends stored results: JSONL files with one line per config or setting."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.cli import ROOT
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size, Task

__all__ = ["MODELS", "Group", "Row", "append", "find", "group", "groups", "read"]

_RESULTS = ROOT / "experiments" / "results"
Row = Mapping[str, Any]

# The models that each task was trained with, by the last part of the config name.
MODELS = {
    "ntm": "NTM, feed-forward controller",
    "ntm_lstm": "NTM, LSTM controller",
    "lstm": "LSTM",
    "gru": "GRU",
    "transformer": "Transformer",
}


class Group(NamedTuple):
    """The trained seeds of a line; all but the first two have an entry for each seed.

    Attributes:
      line: a line with a summary and, where they were made, evaluations.
      task: the task with its default settings.
      summaries: the entries of summary.json.
      results: evaluations after training, by size.
      enlarged: evaluations in larger memories, by size and number of slots.
    """

    line: Row
    task: Task
    summaries: Sequence[Row]
    results: Sequence[Mapping[Size, Row]]
    enlarged: Sequence[Mapping[tuple[Size, int], Row]]

    @property
    def errors(self) -> list[dict[Size, float]]:
        """The metric of the task by size, for each seed."""
        metric = self.task.metric
        return [{size: row[metric] for size, row in seed.items()} for seed in self.results]


def read(path: Path | str) -> list[dict[str, Any]]:
    """Reads the lines of a JSONL file; none if it does not exist.

    Args:
      path: the file, or the name of one in experiments/results.
    """
    path = _RESULTS / f"{path}.jsonl" if isinstance(path, str) else path
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path | str, line: Row) -> None:
    """Appends a line to a JSONL file, which is named as for `read`."""
    path = _RESULTS / f"{path}.jsonl" if isinstance(path, str) else path
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def find(path: Path | str, **values: Any) -> list[dict[str, Any]]:
    """Returns the lines of a JSONL file that have these values."""
    values = json.loads(json.dumps(values))  # tuples are lists in JSON
    return [line for line in read(path) if all(line.get(k) == v for k, v in values.items())]


@functools.cache
def groups(*names: str) -> dict[str, Group]:
    """Returns the trained seeds of these files by the name of the config; later files win."""
    return {line["name"]: group(line) for name in names for line in read(name)}


def group(line: Row) -> Group:
    """Returns the trained seeds of a line."""
    task, seeds = TASKS[line["summary"]["task"]](), line["summary"]["members"]

    def by_size(evaluation: Row) -> list[dict[Size, Row]]:
        return [
            {tuple(row[axis] for axis in task.size_axes): row for row in seed["results"]}
            for seed in evaluation["members"]
        ]

    enlarged: list[dict[tuple[Size, int], Row]] = [{} for _ in seeds]
    for evaluation in line.get("enlarged", ()):
        for seed, results in zip(enlarged, by_size(evaluation), strict=True):
            seed |= {(size, evaluation["num_slots"]): row for size, row in results.items()}
    results = by_size(line["evaluation"]) if "evaluation" in line else []
    return Group(line, task, seeds, results, enlarged)
