"""What the shipped machine of repeat copy keeps in its memory of the repeats that are left.

    python -m benchmarks.countdown

Of all numbers in the memory, after each time that the machine has said ten vectors, it looks for
the one that goes most with how many repeats are left, where 2 to 10 are asked for, as in training.
benchmarks/results/countdown.json gets what that number is there and beyond, and
docs/repeat_copy_countdown.png shows it.
"""

from typing import Any

import jax
import numpy as np
from absl import app, logging
from matplotlib.figure import Figure

from benchmarks import commands
from ntm_jax.models import trace
from ntm_jax.training.restore import load_pretrained

_MACHINE = "repeat_copy_ntm"
_LENGTH = 10
_TRAINED = range(2, 11)
_BEYOND = (15, 20)
_SHOWN = (5, 10, *_BEYOND)


def main(argv: list[str]) -> None:
    """Looks, writes it down and draws it."""
    del argv
    logging.set_verbosity(logging.WARNING)
    machine = load_pretrained(_MACHINE)
    memories: dict[int, np.ndarray] = {}
    said = []
    for asked in (*_TRAINED, *_BEYOND):
        batch = machine.task.sample_at(jax.random.key(commands.SEED), 1, _LENGTH, asked)
        logits, step = trace(machine.model, machine.params, batch.inputs)
        first = int(batch.mask[0].argmax())
        marked = np.asarray(logits[0, first:, -1]) > 0
        said.append(float(marked.argmax() / _LENGTH) if marked.any() else None)
        last = first + _LENGTH * np.arange(1, asked + 1) - 1
        memories[asked] = np.asarray(step.memory[0], np.float32)[last]
    slot, column, correlation = most_like_a_countdown({n: memories[n] for n in _TRAINED})
    document = {
        "machine": _MACHINE,
        "length": _LENGTH,
        "slot": slot,
        "column": column,
        "correlation": correlation,
        "asked": [*memories],
        "said": said,
        "after_each_repeat": [memory[:, slot, column].tolist() for memory in memories.values()],
    }
    commands.write(commands.RESULTS / "countdown.json", document)
    draw(document).savefig(commands.ROOT / "docs" / "repeat_copy_countdown.png")


def most_like_a_countdown(memories: dict[int, np.ndarray]) -> tuple[int, int, float]:
    """The number in the memory that goes most with the repeats left.

    Args:
      memories: [asked, N, M] for each number of repeats asked for: after each of them but, since
        the machine is done then, the last, which does not count.

    Returns:
      Its slot, its column, and the correlation, in [-1, 1].
    """
    left = np.concatenate([np.arange(asked - 1, 0, -1) for asked in memories])
    values = np.concatenate([memory[:-1] for memory in memories.values()])
    values = values - values.mean(axis=0)
    left = left - left.mean()
    lengths = np.linalg.norm(values, axis=0) * np.linalg.norm(left)
    correlations = np.tensordot(left, values, 1) / np.maximum(lengths, 1e-6)
    slot, column = np.unravel_index(np.abs(correlations).argmax(), correlations.shape)
    return int(slot), int(column), float(correlations[slot, column])


def draw(document: dict[str, Any]) -> Figure:
    """The number after each repeat, a line for each number of repeats that is asked for."""
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    columns = (document[name] for name in ("asked", "said", "after_each_repeat"))
    for asked, said, values in zip(*columns, strict=True):
        if asked not in _SHOWN:
            continue
        until = asked if said is None else int(said)
        axes.plot(
            range(1, until + 1),
            values[:until],
            "o-" if asked in _TRAINED else "o--",
            label=f"{asked} asked for, {'no end' if said is None else f'{said:g} said'}",
        )
    axes.set(
        title="What is left to say, in the memory of a machine that was trained with up to 10",
        xlabel="repeats said",
        ylabel=f"memory, slot {document['slot']}, column {document['column']}",
        xlim=(0, None),
    )
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    app.run(main)
