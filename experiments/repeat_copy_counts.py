"""Counts how often models of repeat copy output a sequence when 1 to 20 repeats are requested.

    python -m experiments.repeat_copy_counts --runs=DIR

DIR is the --runs directory of experiments/ensembles.py, and of experiments/ablations.py for
models with another erase bias. repeat_copy_counts.jsonl gets one line per
config: for each model and each number requested, the repeats of ten vectors that it produced before
the end marker. Training has 1 to 10 repeats. Without --runs, the stored results are drawn.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, logging
from matplotlib.figure import Figure

from experiments import cli, results
from ntm_jax.training.restore import load_run

# The run directory of each line, below that of --runs.
RUNS = {
    "repeat_copy_ntm": "repeat_copy_ntm",
    "repeat_copy_ntm_lstm": "repeat_copy_ntm_lstm",
    "repeat_copy_ntm, erase_bias -5": "erase_bias_repeat_copy_ntm_0",
    "repeat_copy_ntm_lstm, erase_bias -5": "erase_bias_repeat_copy_ntm_lstm_0",
}
_LENGTH = 10
_REQUESTED = range(1, 21)
_EXTRA_REPEATS = 10  # beyond the largest number requested, before a model counts as endless
_NUM_SEQUENCES = 64


def main(argv: list[str]) -> None:
    """Counts where there is no stored line, and draws docs/repeat_copy_counts.png."""
    del argv
    logging.set_verbosity(logging.WARNING)
    for name, workdir in RUNS.items() if cli.RUNS.value else ():
        exists = (Path(cli.RUNS.value) / workdir).exists()
        if exists and not results.find("repeat_copy_counts", name=name):
            line = {
                "name": name,
                "command": "python -m experiments.repeat_copy_counts --runs=runs",
                "host": cli.host(),
                "length": _LENGTH,
                "num_sequences": _NUM_SEQUENCES,
                "requested": [*_REQUESTED],
                "produced": _produced(Path(cli.RUNS.value) / workdir),
            }
            results.append("repeat_copy_counts", line)
    figure = draw(results.read("repeat_copy_counts"))
    figure.savefig(cli.ROOT / "docs" / "repeat_copy_counts.png")


def draw(lines: list[dict[str, Any]]) -> Figure:
    """Draws a panel for each config, and in it a line for each model.

    The area of a dot is proportional to the number of models whose lines meet there. A line ends
    with a cross if the model outputs no end marker when more repeats are requested.
    """
    rows = -(-len(lines) // 2)
    figure = Figure(figsize=(8, 4 * rows + 0.5), layout="constrained", dpi=150)
    panels = figure.subplots(rows, 2, squeeze=False, sharey=True).flat
    for axes in panels[len(lines) :]:
        axes.remove()
    for axes, line in zip(panels[: len(lines)], lines, strict=True):
        requested = line["requested"]
        axes.plot(requested, requested, color="black", linestyle="--", linewidth=1, label="exact")
        models = np.array(line["produced"], float)  # None becomes NaN
        for index, repeats in enumerate(models):
            label = None if index else "one model"
            axes.plot(requested, repeats, "C0", alpha=0.5, linewidth=1, label=label)
        x = np.broadcast_to(requested, models.shape)
        valid = ~np.isnan(models)
        points, counts = np.unique(np.stack([x, models], -1)[valid], axis=0, return_counts=True)
        label = "area: number of models"
        axes.scatter(*points.T, s=7 * counts, color="C0", linewidths=0, label=label, zorder=3)
        # The last step with a marker of models that have none for a larger number.
        last = valid & ~np.pad(valid[:, 1:], ((0, 0), (0, 1)), constant_values=True)
        axes.plot(x[last], models[last], "x", color="#D55E00", label="then no end marker", zorder=4)
        axes.axvspan(0, 10, color="0.93", zorder=0)
        name, _, change = line["name"].removeprefix("repeat_copy_").partition(", ")
        title = f"{results.MODELS[name]}, {len(models)} seeds"
        axes.set(
            title=f"{title}\n{change}" if change else title,
            xlabel="repeats requested (training: gray)",
            xlim=(0, requested[-1] + 0.5),
            xticks=range(0, requested[-1] + 1, 5),
            ylim=(0, None),
        )
    panels[0].set_ylabel("repeats produced before the end marker")
    panels[0].legend(frameon=False, loc="upper left")
    return figure


def count_repeats(ends: np.ndarray, length: int) -> list[float | None]:
    """Returns the median number of repeats before the end marker; None if half have no marker.

    Args:
      ends: [E, B, T], whether a step of the output is the marker, for E models and B sequences.
      length: length of the sequences.
    """
    repeats = np.where(ends.any(-1), ends.argmax(-1) / length, np.inf)
    return [float(n) if np.isfinite(n) else None for n in np.median(repeats, axis=-1)]


def _produced(workdir: Path) -> list[list[float | None]]:
    """Returns the repeats that each member of an ensemble produces, by number requested."""
    trained = load_run(workdir)

    def apply(params: Any, inputs: jax.Array) -> jax.Array:
        return trained.model.apply({"params": params}, inputs)

    apply_members = jax.jit(jax.vmap(apply, (0, None)))
    key = jax.random.key(cli.SEED)
    batches = [trained.task.sample_size(key, _NUM_SEQUENCES, _LENGTH, n) for n in _REQUESTED]
    num_steps = batches[-1].inputs.shape[1] + _EXTRA_REPEATS * _LENGTH  # one compilation for all
    counts = []
    for batch in batches:
        padding = num_steps - batch.inputs.shape[1]
        inputs = jnp.pad(batch.inputs, ((0, 0), (0, padding), (0, 0)))
        first = int(batch.mask[0].argmax())  # the first output step
        ends = np.asarray(apply_members(trained.params, inputs))[:, :, first:, -1] > 0
        counts.append(count_repeats(ends, _LENGTH))
    return [list(member) for member in zip(*counts, strict=True)]


if __name__ == "__main__":
    app.run(main)
