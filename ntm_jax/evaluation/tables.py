"""Evaluation results as text tables and as JSON.

The tables are plain aligned text: rich belongs to the training extra, and wraps at 80 columns when
its output is piped.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ntm_jax.evaluation.scoring import AccuracyBreakdown, Result
from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.runtime.files import json_value
from ntm_jax.tasks.base import Size, Task, describe_size, format_size

__all__ = [
    "accuracy_table",
    "align",
    "as_json",
    "describe",
    "describe_metric",
    "ensemble_table",
    "results_table",
    "success_rate",
]


def describe(trained: TrainedModel) -> str:
    """Returns one line with the checkpoint, the task, the model and its dimensions."""
    parts = [f"{trained.checkpoint}: {trained.name}", f"{trained.num_params:,} parameters"]
    parts += [f"{len(trained.seeds)} seeds"] if len(trained.seeds) > 1 else []
    plural = "s" * (trained.num_slots != 1)
    parts += [f"{trained.num_slots} slot{plural}"] if trained.num_slots else []
    return ", ".join(parts)


def results_table(task: Task, results: Sequence[Result]) -> str:
    """Returns a table of one model's results with a line for each size.

    The cost above the Bayes-optimal cost has a column if the optimal cost is not 0.
    """
    optimum = "excess_bits_per_sequence"
    has_optimum = any(r.metrics.get(optimum) != r.bits_per_sequence for r in results)
    names = [name for name in results[0].metrics if has_optimum or name != optimum]
    header = [(axis, "") for axis in task.size_axes]
    header += [_HEADINGS.get(name) or describe_metric(name) for name in names]
    rows = [
        [
            *map(str, result.size),
            *(_cell(name, result.metrics[name]) for name in names),
            f"{result.sequences}",
        ]
        for result in results
    ]
    return align([*zip(*header, ("sequences", ""), strict=True), *rows])


_HEADINGS = {
    "bits_per_sequence": ("cost, bits", "per sequence"),
    "excess_bits_per_sequence": ("bits above", "optimum"),
    "perfect_sequences": ("perfect", "sequences"),
}


def describe_metric(name: str) -> tuple[str, str]:
    """Returns a metric in words, and "per sequence" if it is a number per sequence."""
    words = name.removesuffix("_per_sequence").replace("_", " ")
    return words, "per sequence" if name.endswith("_per_sequence") else ""


def _cell(name: str, value: float) -> str:
    if name == "perfect_sequences":
        return f"{value:.2%}"
    return f"{value:.4%}" if name.endswith("_accuracy") else f"{value:.4g}"


def ensemble_table(trained: TrainedModel, results: Sequence[Sequence[Result]]) -> str:
    """Returns a table with a line for each member, the medians, and the success rate.

    Args:
      trained: the ensemble.
      results: for each member one result per size.
    """
    metric = trained.task.metric
    errors = [[getattr(result, metric) for result in member] for member in results]
    sizes = [format_size(result.size) for result in results[0]]
    rows = [("seed", "sequences", *sizes), ("", "to solve", *[""] * len(sizes))]
    members = zip(trained.seeds, trained.sequences_to_solve, errors, strict=True)
    for seed, sequences, values in members:
        solved_after = "never" if sequences is None else f"{sequences:,}"
        rows.append((str(seed), solved_after, *_numbers(values)))
    rows.append(("median", "", *_numbers(np.median(errors, axis=0))))
    heading = f"{metric.replace('_', ' ')}, by {' x '.join(trained.task.size_axes)}:"
    rate = success_rate(sum(map(trained.is_solved, results)), len(results))
    return f"{heading}\n{align(rows)}\nsolved at these sizes: {rate}"


def accuracy_table(task: Task, size: Size, accuracy: AccuracyBreakdown) -> str:
    """Returns the accuracy at one size by scored step and, if there are several, by bit."""

    def rows(values: np.ndarray) -> str:
        cells = [f"{value:7.2%}" for value in values]
        return "\n".join("  " + " ".join(cells[i : i + 10]) for i in range(0, len(cells), 10))

    heading = f"{describe_size(task, size)}, {task.unit} accuracy by"
    by_step = f"{heading} time step:\n{rows(accuracy.by_step)}"
    if task.unit != "bit":
        return by_step
    return f"{by_step}\n{heading} bit:\n{rows(accuracy.by_bit)}"


def success_rate(successes: int, trials: int) -> str:
    """Formats a success rate, such as "29 of 30 (97 %, 95 % interval 83 % to 99 %)".

    The interval is Wilson's score interval.

    Raises:
      ValueError: not 0 <= successes <= trials, or no trials.
    """
    from scipy.stats import binomtest  # importing it takes a second

    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            f"successes: expected 0 to trials, and at least one trial, got {successes} of {trials}"
        )
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    low, high = 100 * interval.low, 100 * interval.high
    return (
        f"{successes} of {trials} ({100 * successes / trials:.0f} %, "
        f"95 % interval {low:.0f} % to {high:.0f} %)"
    )


def as_json(trained: TrainedModel, results: Sequence[Sequence[Result]]) -> dict[str, Any]:
    """Returns the results with a description of the model, ready for a JSON file.

    Args:
      trained: the model or the ensemble.
      results: for each member one result per size.

    Returns:
      A dict with the key "results" for one model, "members" for an ensemble; None for NaN and
      infinity.
    """
    members = [
        {
            "seed": seed,
            "sequences_to_solve": sequences,
            "solved": trained.is_solved(member),
            "results": [_as_dict(trained.task, result) for result in member],
        }
        for seed, sequences, member in zip(
            trained.seeds, trained.sequences_to_solve, results, strict=True
        )
    ]
    document = {
        "task": trained.config["task"]["name"],
        "model": trained.config["model"]["name"],
        "num_params": trained.num_params,
        "num_slots": trained.num_slots,
        "checkpoint": trained.checkpoint,
        **({"results": members[0]["results"]} if len(members) == 1 else {"members": members}),
    }
    return json_value(document)


def _as_dict(task: Task, result: Result) -> dict[str, Any]:
    """Returns the fields of a result, with the size by axis."""
    size = zip(task.size_axes, result.size, strict=True)
    return {**dict(size), "sequences": result.sequences, **result.metrics}


def _numbers(values: Iterable[float]) -> list[str]:
    return [f"{value:.4g}" for value in values]


def align(rows: Sequence[Sequence[str]]) -> str:
    """Returns the rows as lines with right-aligned columns."""
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    return "\n".join(
        "".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
