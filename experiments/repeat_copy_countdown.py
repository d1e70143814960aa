"""Finds the memory value with which the pretrained repeat-copy model counts the remaining repeats.

    python -m experiments.repeat_copy_countdown

After each repeat of ten vectors, every value in the memory is compared with the number of remaining
repeats; the value with the largest correlation over 2 to 10 requested repeats, as in training, is
kept. repeat_copy_countdown.jsonl gets this value there and for 15 and 20 repeats, and
docs/repeat_copy_countdown.png shows it.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import app, logging
from matplotlib import colormaps
from matplotlib.figure import Figure

from experiments import cli, results
from ntm_jax.models import trace
from ntm_jax.pretrained import load_model

_MODEL = "repeat_copy_ntm"
_LENGTH = 10
_TRAINING = range(2, 11)
_LONGER = (15, 20)
_DRAWN = (5, 10, *_LONGER)


def main(argv: list[str]) -> None:
    """Analyzes the model if there is no stored line, and draws the result."""
    del argv
    logging.set_verbosity(logging.WARNING)
    if not results.find("repeat_copy_countdown", name=_MODEL):
        results.append("repeat_copy_countdown", _analyze())
    (line,) = results.find("repeat_copy_countdown", name=_MODEL)
    draw(line).savefig(cli.ROOT / "docs" / "repeat_copy_countdown.png")


def _analyze() -> dict[str, Any]:
    trained = load_model(_MODEL)
    memories, produced = {}, []
    for requested in (*_TRAINING, *_LONGER):
        batch = trained.task.sample_size(jax.random.key(cli.SEED), 1, _LENGTH, requested)
        logits, steps = trace(trained.model, trained.first_params, batch.inputs)
        first = int(batch.mask[0].argmax())  # the first output step
        ends = np.asarray(logits[0, first:, -1]) > 0
        produced.append(float(ends.argmax() / _LENGTH) if ends.any() else None)
        last = first + _LENGTH * np.arange(1, requested + 1) - 1
        memories[requested] = np.asarray(steps.memory[0], np.float32)[last]
    slot, column, correlation = find_countdown({n: memories[n] for n in _TRAINING})
    return {
        "name": _MODEL,
        "command": "python -m experiments.repeat_copy_countdown",
        "host": cli.host(),
        "length": _LENGTH,
        "slot": slot,
        "column": column,
        "correlation": correlation,
        "requested": [*memories],
        "produced": produced,
        "after_each_repeat": [memory[:, slot, column].tolist() for memory in memories.values()],
    }


def find_countdown(memories: Mapping[int, np.ndarray]) -> tuple[int, int, float]:
    """Returns the memory value whose correlation with the remaining repeats is largest.

    Args:
      memories: [repeats, N, M] by number of repeats requested, the memory after each repeat. The
        last one is ignored, since no repeat remains.

    Returns:
      Its slot, its column and the correlation, in [-1, 1].
    """
    remaining = np.concatenate([np.arange(requested - 1, 0, -1) for requested in memories])
    values = np.concatenate([memory[:-1] for memory in memories.values()])
    values = values - values.mean(axis=0)
    remaining = remaining - remaining.mean()
    norms = np.linalg.norm(values, axis=0) * np.linalg.norm(remaining)
    correlations = np.tensordot(remaining, values, 1) / np.maximum(norms, 1e-6)
    slot, column = np.unravel_index(np.abs(correlations).argmax(), correlations.shape)
    return int(slot), int(column), float(correlations[slot, column])


def draw(line: Mapping[str, Any]) -> Figure:
    """Draws the value after each repeat, a line for each number of repeats requested."""
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    columns = (line[key] for key in ("requested", "produced", "after_each_repeat"))
    for requested, produced, values in zip(*columns, strict=True):
        if requested in _DRAWN:
            # Darker for more repeats; the markers differ too.
            index = _DRAWN.index(requested)
            style = {"color": colormaps["viridis"](0.8 - 0.25 * index), "marker": "os^D"[index]}
            until = requested if produced is None else int(produced)
            outcome = "no end marker" if produced is None else f"{produced:g} produced"
            axes.plot(
                range(1, until + 1),
                values[:until],
                linestyle="-" if requested in _TRAINING else "--",
                label=f"{requested} requested, {outcome}",
                **style,
            )
    axes.set(
        title="Remaining repeats in the memory; training has 1 to 10 repeats, dashed: more",
        xlabel="repeats produced",
        ylabel=f"memory value at slot {line['slot']}, column {line['column']}",
        xlim=(0, None),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    app.run(main)
