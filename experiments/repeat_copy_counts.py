"""How often machines say a sequence again that they are to say 1 to 20 times.

    python -m benchmarks.counting --runs=DIR

DIR is where benchmarks/ensembles.py kept its runs. benchmarks/results/counting.json gets, for every
machine of repeat copy and every number, how often it said sequences of ten vectors before it set
the end marker. Training shows 1 to 10 repeats.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from matplotlib.figure import Figure

from benchmarks import commands
from benchmarks.members import MODELS
from ntm_jax.training.restore import load_run

_RUNS = flags.DEFINE_string("runs", None, "Folder that the runs were kept in.", required=True)

_LABELS = {f"repeat_copy_{model}": MODELS[model] for model in ("ntm", "ntm_lstm")}
_LENGTH = 10
_ASKED = range(1, 21)
_PATIENCE = 10  # repeats beyond the most asked for, for which all machines are waited for
_SEQUENCES = 64


def main(argv: list[str]) -> None:
    """Counts, writes it down and draws it."""
    del argv
    logging.set_verbosity(logging.WARNING)
    path = commands.RESULTS / "counting.json"
    folders = {name: Path(_RUNS.value) / name for name in _LABELS}
    said = {name: _said(folder) for name, folder in folders.items() if folder.is_dir()}
    document = {"length": _LENGTH, "sequences": _SEQUENCES, "asked": [*_ASKED], "said": said}
    commands.write(path, document)
    draw(document).savefig(commands.ROOT / "docs" / "repeat_copy_counting.png")


def draw(document: dict[str, Any]) -> Figure:
    """A panel for each config, a line for each of its machines, beside the number that is asked."""
    asked, said = document["asked"], document["said"]
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(said), squeeze=False, sharey=True)[0]
    for axes, (name, machines) in zip(panels, said.items(), strict=True):
        axes.plot(asked, asked, color="black", linestyle="--", linewidth=1, label="asked for")
        for machine in machines:
            label = "a machine" if machine is machines[0] else None
            axes.plot(
                asked, [np.nan if n is None else n for n in machine], "C0", alpha=0.5, label=label
            )
        axes.axvspan(0, 10, color="0.93", zorder=0)
        axes.set(
            title=_LABELS[name],
            xlabel="asked for (trained: grey)",
            xlim=(0, asked[-1]),
            xticks=range(0, asked[-1] + 1, 5),
            ylim=(0, None),
        )
    panels[0].set_ylabel("repeats before the end marker")
    panels[0].legend(frameon=False)
    return figure


def repeats_said(ends: np.ndarray, length: int) -> list[float | None]:
    """How often a sequence is said before the end marker, the median; None if half have no end.

    Args:
      ends: [E, B, T], of E machines on B sequences: whether a step of the answer is the marker.
      length: of the sequences.
    """
    said = np.median(np.where(ends.any(-1), ends.argmax(-1) / length, np.inf), axis=-1)
    return [float(n) if np.isfinite(n) else None for n in said]


def _said(workdir: Path) -> list[list[float | None]]:
    """Of each member, for each number asked for: the median said; None where half do not end."""
    machines = load_run(workdir)
    run = jax.jit(
        jax.vmap(lambda params, inputs: machines.model.apply({"params": params}, inputs), (0, None))
    )
    batches = [
        machines.task.sample_at(jax.random.key(commands.SEED), _SEQUENCES, _LENGTH, asked)
        for asked in _ASKED
    ]
    steps = batches[-1].inputs.shape[1] + _PATIENCE * _LENGTH  # of all: one compilation
    columns = []
    for batch in batches:
        inputs = jnp.pad(batch.inputs, ((0, 0), (0, steps - batch.inputs.shape[1]), (0, 0)))
        # What is said before the answer begins counts for nothing.
        first = int(batch.mask[0].argmax())
        ends = np.asarray(run(machines.members, inputs))[:, :, first:, -1] > 0
        columns.append(repeats_said(ends, _LENGTH))
    return [list(of_member) for of_member in zip(*columns, strict=True)]


if __name__ == "__main__":
    app.run(main)
