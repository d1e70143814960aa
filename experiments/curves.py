"""Draws docs/<task>_learning.png and docs/<task>_length_generalization.png from ensembles.jsonl.

python -m experiments.curves
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.cli import ROOT
from experiments.results import MODELS, groups
from ntm_jax.tasks import TASKS


class Generalization(NamedTuple):
    """What the figure of length generalization of a task shows.

    Attributes:
      key: key of the number in an evaluation.
      label: label of the vertical axis.
      fixed: for each panel the size axes that are constant, with their values.
    """

    key: str
    label: str
    fixed: Sequence[Mapping[str, int]]


TITLES = {
    "copy": "Copy, lengths up to 20",
    "repeat_copy": "Repeat copy, lengths and repeats up to 10",
    "associative_recall": "Associative recall, 2 to 6 items",
    "ngrams": "Dynamic 6-grams, 200 bits",
    "priority_sort": "Priority sort, the 16 highest of 20",
}
GENERALIZATION = {
    "repeat_copy": Generalization(
        "perfect_sequences",
        "fraction of sequences\nwithout errors (chance: 0)",
        ({"length": 10}, {"repeats": 10}),
    ),
    "associative_recall": Generalization("bits_per_sequence", "cost (bits per sequence)", ({},)),
}
_KERAS = "NTM of ntm_keras, its format"
# A model has the same style in all figures. Where lines coincide, those below are visible between
# the dashes and around the smaller, open markers.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#555555", "#E69F00")
_DASHES = ("-", (0, (6, 4)), (0, (4, 4)), (4, (4, 4)), (0, (1, 2)), "-.")
_MARKERS = "os^vDX"
_STYLES = {
    label: {
        "color": _COLORS[index],
        "linestyle": _DASHES[index],
        "marker": _MARKERS[index],
        "markersize": 10 - 1.3 * index,
        "fillstyle": "none",
    }
    for index, label in enumerate((*MODELS.values(), _KERAS))
}


def draw_learning(task: str) -> Figure:
    """Draws the median cost during training, and a band between the quartiles over seeds.

    A line ends, with a marker, where the first seed is solved, since a solved seed stops training,
    or where training ended.
    """
    labels = {f"{task}_{model}": label for model, label in MODELS.items()}
    if task == "copy":
        labels["copy_ntm_keras"] = _KERAS
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    keys = ("lower_quartile", "median", "upper_quartile")
    for name, label in labels.items():
        group = groups("ensembles")[name]
        solved = [one["sequences"] for one in group.summaries if one["solved_at_step"] is not None]
        end = min(solved, default=math.inf)
        curve = [point for point in group.line["curve"] if point["sequences"] <= end]
        quartiles = [[point[key] for point in curve] for key in keys]
        thousands = [point["sequences"] / 1000 for point in curve]
        _draw_band(axes, thousands, quartiles, label, len(group.summaries), markevery=[-1])
    chance, optimal = _reference_bits(task)
    _draw_chance(axes, chance)
    if optimal > 0:
        axes.axhline(optimal, color="black", linestyle="--", linewidth=1, label="Bayes-optimal")
    axes.set(
        title=f"{TITLES[task]}: learning, median and quartiles over seeds",
        xlabel="training sequences (thousands); markers: first solved seed, or end of training",
        ylabel="cost (bits per sequence)",
        xlim=(0, None),
        ylim=(None if optimal else 0, None),
    )
    axes.yaxis.get_major_locator().set_params(steps=[1, 2, 5, 10])
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
    return figure


def draw_generalization(task: str) -> Figure:
    """Draws the scores by size, a panel for each size axis; training sizes are shaded."""
    key, ylabel, fixed_axes = GENERALIZATION[task]
    names, max_train_size = list(TASKS[task].size_axes), TASKS[task]().max_train_size
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(fixed_axes), squeeze=False, sharey=True)[0]
    for axes, fixed in zip(panels, fixed_axes, strict=True):
        (index,) = (index for index, name in enumerate(names) if name not in fixed)
        for model, label in MODELS.items():
            results = groups("ensembles")[f"{task}_{model}"].results
            sizes = [
                size
                for size in sorted(results[0])
                if all(size[names.index(name)] == value for name, value in fixed.items())
            ]
            values = ([seed[size][key] for seed in results] for size in sizes)
            quartiles = [statistics.quantiles(group, method="inclusive") for group in values]
            x = [size[index] for size in sizes]
            _draw_band(axes, x, [*zip(*quartiles, strict=True)], label, len(results))
        if key == "bits_per_sequence":
            _draw_chance(axes, _reference_bits(task)[0])
        axes.axvspan(0, max_train_size[index], color="0.93", zorder=0)
        constant = "".join(f", {name} {value}" for name, value in fixed.items())
        xlabel = f"{names[index]}{constant} (training sizes: gray)"
        axes.set(xlabel=xlabel, xlim=(0, None), ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True, steps=[1, 2, 5, 10])
    panels[0].set_ylabel(ylabel)
    panels[0].yaxis.get_major_locator().set_params(steps=[1, 2, 5, 10])
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        fontsize=8.5,
        frameon=False,
    )
    figure.suptitle(f"{TITLES[task]}: generalization, median and quartiles over seeds")
    return figure


def _draw_band(
    axes: Axes,
    x: Sequence[float],
    quartiles: Sequence[Sequence[float]],
    label: str,
    seeds: int,
    markevery: Sequence[int] | None = None,
) -> None:
    low, median, high = quartiles
    # Drawn over the axis, so that a line at zero is visible.
    style = {"color": _STYLES[label]["color"], "clip_on": False, "zorder": 3}
    label_with_seeds = f"{label} ({seeds} seeds)"
    axes.plot(x, median, label=label_with_seeds, markevery=markevery, **(_STYLES[label] | style))
    axes.fill_between(x, low, high, alpha=0.2, linewidth=0, **style)


def _draw_chance(axes: Axes, bits: float) -> None:
    axes.axhline(
        bits, color="black", linestyle=":", linewidth=1, label="chance (all probabilities 1/2)"
    )


def _reference_bits(name: str) -> tuple[float, float]:
    """Returns the costs of chance and of the Bayes-optimal estimator, means of 10,000 sequences."""
    task = TASKS[name]()
    batch = task.sample(jax.random.key(0), 10_000)
    chance = batch.mask.sum(axis=1).mean() * task.output_features
    return float(chance), float(task.optimal_bits(batch).mean())


def main() -> None:
    """Draws all figures."""
    for task in TITLES:
        draw_learning(task).savefig(ROOT / "docs" / f"{task}_learning.png")
    for task in GENERALIZATION:
        draw_generalization(task).savefig(ROOT / "docs" / f"{task}_length_generalization.png")


if __name__ == "__main__":
    main()
