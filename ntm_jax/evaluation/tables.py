"""What `eval.py` shows of a trained machine: the tables, the JSON and the pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntm_jax import models
from ntm_jax.training import success
from ntm_jax.evaluation.scoring import Accuracy, Result
from ntm_jax.tasks.base import Size, Task, describe, label
from ntm_jax.training.restore import Trained

__all__ = ["as_json", "members_table", "row", "save_plots", "step_table", "table"]

# The most steps of which the memory use is drawn: beyond them single steps cannot be told apart.
_DRAWN_STEPS = 60


def table(task: Task, results: Sequence[Result]) -> str:
    """The results of one machine as aligned text."""
    optimal = any(r.bits_per_sequence != r.excess_bits_per_sequence for r in results)
    heads = [(axis, "") for axis in task.axes]
    heads += [("bit errors", "per sequence"), ("bits", "per sequence")]
    heads += [("bits above", "the optimum")] if optimal else []
    heads += [("bit accuracy", ""), ("perfect", "sequences"), ("sequences", "")]
    rows = [
        [
            *map(str, result.size),
            f"{result.bit_errors_per_sequence:.4g}",
            f"{result.bits_per_sequence:.4g}",
            *([f"{result.excess_bits_per_sequence:.4g}"] if optimal else []),
            f"{result.bit_accuracy:.4%}",
            f"{result.perfect_sequences:.2%}",
            f"{result.sequences}",
        ]
        for result in results
    ]
    lines = [*zip(*heads, strict=True), *rows]
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    return "\n".join(
        "".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def members_table(trained: Trained, results: Sequence[Sequence[Result]]) -> str:
    """A line for each member of an ensemble, and how many are solved at these sizes."""
    axes, judged_by = " x ".join(trained.task.axes), trained.task.judged_by
    lines = [
        f"{'seed':>10}{'sequences':>12}  {judged_by.replace('_', ' ')} at {axes}",
        f"{'':>10}{'to solved':>12}" + "".join(f"{label(r.size):>10}" for r in results[0]),
    ]
    errors = [[getattr(result, judged_by) for result in of_member] for of_member in results]
    for seed, needed, of_member in zip(trained.seeds, trained.needed, errors, strict=True):
        shown = "".join(f"{error:>10.4g}" for error in of_member)
        lines.append(f"{seed:>10}{'never' if needed is None else format(needed, ','):>12}{shown}")
    medians = np.median(errors, axis=0)
    lines.append(f"{'median':>22}" + "".join(f"{median:>10.4g}" for median in medians))
    solved = sum(map(trained.solved, results))
    lines.append(f"solved at these sizes: {success.rate(solved, len(results))}")
    return "\n".join(lines)


def step_table(size: str, accuracy: Accuracy) -> str:
    """Bit accuracy of one size by time step and by bit, as text."""

    def rows(values: np.ndarray) -> str:
        shown = [f"{value:7.2%}" for value in values]
        return "\n".join("  " + " ".join(shown[i : i + 10]) for i in range(0, len(shown), 10))

    return (
        f"{size}, bit accuracy by time step of the answer:\n{rows(accuracy.by_step)}\n"
        f"{size}, bit accuracy by bit:\n{rows(accuracy.by_bit)}"
    )


def as_json(trained: Trained, results: Sequence[Sequence[Result]]) -> dict[str, Any]:
    """The results with what they are results of, ready for a file.

    Args:
      trained: the machine, or the ensemble.
      results: of each member.

    Returns:
      "results" is those of the one machine; of an ensemble, "members" has them for each.
    """
    members = [
        {
            "seed": seed,
            "sequences_to_solved": needed,
            "solved": trained.solved(of_member),
            "results": [row(trained.task, result) for result in of_member],
        }
        for seed, needed, of_member in zip(trained.seeds, trained.needed, results, strict=True)
    ]
    return {
        "task": trained.config.task.name,
        "model": trained.config.model.name,
        "num_params": trained.num_params,
        "slots": trained.num_slots,
        "checkpoint": str(trained.checkpoint),
        **({"results": members[0]["results"]} if len(members) == 1 else {"members": members}),
    }


def save_plots(trained: Trained, sizes: Sequence[Size], directory: Path, seed: int) -> list[Path]:
    """Draws the paper's figures 4 and 6: answers of each size, and how the memory is used.

    Args:
      trained: the model; of an ensemble its first member is drawn.
      sizes: one answer each.
      directory: made if it is not there.
      seed: of the sequences drawn.

    Returns:
      The files written; a model without a memory has no picture of its use.

    Raises:
      OSError: the folder cannot be written to.
    """
    from ntm_jax import plots  # matplotlib is an extra, and slow to import

    directory.mkdir(parents=True, exist_ok=True)
    of = f"{trained.config.task.name}, {trained.config.model.name}"
    batches = {size: _drawn(trained.task, size, seed) for size in sizes}
    examples = {}
    for size, batch in batches.items():
        logits = trained.model.apply({"params": trained.params}, batch.inputs)
        answer = np.asarray(batch.mask[0])
        outputs = np.asarray(jax.nn.sigmoid(logits[0]))[answer]
        examples[describe(trained.task, size)] = np.asarray(batch.targets[0])[answer], outputs
    figures = {"answers.png": plots.answers(examples, f"Targets and outputs: {of}")}
    if trained.num_slots is not None:
        steps = {size: batch.inputs.shape[1] for size, batch in batches.items()}
        short = [size for size in sizes if steps[size] <= _DRAWN_STEPS]
        size = max(short, key=steps.__getitem__) if short else min(sizes, key=steps.__getitem__)
        batch = batches[size]
        logits, step = models.trace(trained.model, trained.params, batch.inputs[0])
        figures["memory_use.png"] = plots.memory_use(
            batch.inputs[0],
            jax.nn.sigmoid(logits),
            step,
            f"Memory use at {describe(trained.task, size)}: {of}",
            int(np.argmax(batch.mask[0])),
        )
    for name, figure in figures.items():
        figure.savefig(directory / name)
    return [directory / name for name in figures]


def row(task: Task, result: Result) -> dict[str, Any]:
    """A result as the files have it, with its size by axis."""
    fields = result._asdict()
    return {**dict(zip(task.axes, fields.pop("size"), strict=True)), **fields}


def _drawn(task: Task, size: Size, seed: int) -> Any:
    key = jax.random.key(seed)
    for number in size:
        key = jax.random.fold_in(key, number)
    return task.sample_at(key, 1, *size)
