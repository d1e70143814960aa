"""What was measured of the seeds of a config: of its ensemble if there is one, else one by one."""

import json
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks.commands import RESULTS
from ntm_jax.training import success
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size

__all__ = ["MODELS", "Member", "members", "read", "sequences", "spread"]

Row = Mapping[str, Any]

# The models that a task was tried with, by the ends of their configs' names.
MODELS = {
    "ntm": "NTM, feed-forward controller",
    "ntm_lstm": "NTM, LSTM controller",
    "lstm": "LSTM",
    "gru": "GRU",
    "transformer": "Transformer",
}


class Member(NamedTuple):
    """A trained seed.

    Attributes:
      task: its name.
      summary: what training said of it.
      results: what eval.py said of each size, on sequences that training did not see.
      enlarged: the same by size and slots, in larger memories than it was evaluated with.
    """

    task: str
    summary: Row
    results: dict[Size, Row]
    enlarged: dict[tuple[Size, int], Row]

    @property
    def errors(self) -> dict[Size, float]:
        """What the task is judged by, of each size."""
        judged_by = TASKS[self.task].judged_by
        return {size: row[judged_by] for size, row in self.results.items()}

    @property
    def solved(self) -> bool:
        """In the evaluation; all configs train on the sizes that their task has by default."""
        task = TASKS[self.task]()
        return success.is_solved(self.errors, task.trained_size, task.limits)


def members(name: str) -> list[Member]:
    """The seeds of a config that results are there of; none if there are none."""
    ensemble = read(f"ensembles/{name}")
    if ensemble is None:
        document = read(name)
        return [
            _member(
                row["summary"], row["evaluation"], [row["enlarged"]] if "enlarged" in row else []
            )
            for row in (document["seeds"] if document else [])
        ]
    shared = {name: ensemble["summary"][name] for name in ("num_params", "task")}
    return [
        _member(
            shared | summary,
            ensemble["evaluation"]["members"][index],
            [
                {"slots": far["slots"], **far["members"][index]}
                for far in ensemble.get("enlarged", ())
            ],
        )
        for index, summary in enumerate(ensemble["summary"]["members"])
    ]


def _member(summary: Row, evaluation: Row, enlarged: list[Row]) -> Member:
    task = summary["task"]

    def size(row: Row) -> Size:
        return tuple(row[axis] for axis in TASKS[task].axes)

    return Member(
        task,
        summary,
        {size(row): row for row in evaluation["results"]},
        {(size(row), far["slots"]): row for far in enlarged for row in far["results"]},
    )


def read(name: str) -> dict[str, Any] | None:
    """A file of results by its name without the ending; None if it is not there."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def sequences(summaries: Iterable[Row], name: str = "solved_at_step") -> str:
    """After how many sequences something was so, of those members of which it ever was.

    Args:
      summaries: what training said of each member.
      name: of what was so.
    """
    reached = [one for one in summaries if one.get(name) is not None]
    values = [one[name] * (one["sequences"] // one["step"]) for one in reached]
    return spread(values, "{:,.0f}") if values else "never"


def spread(values: list[float], form: str) -> str:
    """The median, and behind it the smallest and the largest if they differ."""
    if len(set(values)) == 1:
        return form.format(values[0])
    low, high = form.format(min(values)), form.format(max(values))
    return f"{form.format(statistics.median(values))} ({low} to {high})"
