"""Draws docs/<task>_learning.png and docs/<task>_reach.png from benchmarks/results/ensembles.

    python -m benchmarks.curves

A task without results has no picture.
"""

import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import jax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.commands import ROOT
from benchmarks.members import MODELS, members, read
from ntm_jax.tasks import TASKS


class Picture(NamedTuple):
    """The curves of a task.

    Attributes:
      title: stands over them.
      also: further configs with their labels, beside those named <task>_<model>.
    """

    title: str
    also: Mapping[str, str] = {}


class Reach(NamedTuple):
    """How far the machines of a task generalise.

    Attributes:
      key: of the number that is drawn, in the file of an evaluation.
      label: what that is.
      held: a panel for each: the axes of the task that stand still there, and where.
    """

    key: str
    label: str
    held: tuple[Mapping[str, int], ...]


_PICTURES = {
    "copy": Picture(
        "Copy, lengths up to 20", also={"copy_ntm_keras": "NTM of ntm_keras, its format"}
    ),
    "repeat_copy": Picture("Repeat copy, lengths and repeats up to 10"),
    "associative_recall": Picture("Associative recall, 2 to 6 items"),
    "ngrams": Picture("Dynamic 6-grams, 200 bits"),
    "priority_sort": Picture("Priority sort, the 16 highest of 20"),
}
_COLORS = {label: f"C{index}" for index, label in enumerate(MODELS.values())}
_REACHES = {
    "repeat_copy": Reach(
        "perfect_sequences", "sequences without a wrong bit", ({"length": 10}, {"repeats": 10})
    ),
    "associative_recall": Reach("bits_per_sequence", "cost per sequence (bits)", ({},)),
}


def curves(task: str, picture: Picture) -> Figure | None:
    """A line for the median over seeds, a band between the quartiles; None without results.

    A line ends where the first seed was solved and stopped: what the log has of that one afterwards
    is a single batch, again and again.
    """
    labels = {f"{task}_{model}": label for model, label in MODELS.items()} | {**picture.also}
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for name, label in labels.items():
        document = read(f"ensembles/{name}")
        if document is None:
            continue
        some = document["summary"]["members"]
        solved = (one["sequences"] for one in some if one["solved_at_step"] is not None)
        end = min(solved, default=math.inf)
        curve = [point for point in document["curve"] if point["sequences"] <= end]
        thousands = [point["sequences"] / 1000 for point in curve]
        median, low, high = (
            [point[key] for point in curve]
            for key in ("median", "lower_quartile", "upper_quartile")
        )
        _band(axes, thousands, median, low, high, label, len(some))
    if not axes.lines:
        return None
    lowest = _optimum(task)
    if lowest > 0:
        axes.axhline(lowest, color="black", linestyle="--", linewidth=1, label="optimal estimator")
    axes.set(
        title=f"{picture.title}: learning, median and quartiles over seeds",
        xlabel="sequences (thousands)",
        ylabel="cost per sequence (bits)",
        xlim=(0, None),
    )
    if lowest == 0:
        axes.set_ylim(0)
    axes.legend(frameon=False)
    return figure


def reach(task: str, what: Reach) -> Figure | None:
    """A panel for each axis that grows, the trained sizes shaded; None without results."""
    measured = [
        (label, some) for model, label in MODELS.items() if (some := members(f"{task}_{model}"))
    ]
    if not measured:
        return None
    names, trained = list(TASKS[task].axes), TASKS[task]().trained_size
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(what.held), squeeze=False, sharey=True)[0]
    for axes, held in zip(panels, what.held, strict=True):
        (index,) = (index for index, name in enumerate(names) if name not in held)
        fits = [
            size
            for size in sorted(measured[0][1][0].results)
            if all(size[names.index(name)] == number for name, number in held.items())
        ]
        for label, some in measured:
            of_size = ([one.results[size][what.key] for one in some] for size in fits)
            quartiles = (statistics.quantiles(values, method="inclusive") for values in of_size)
            low, median, high = map(list, zip(*quartiles, strict=True))
            grown = [size[index] for size in fits]
            _band(axes, grown, median, low, high, label, len(some))
        axes.axvspan(0, trained[index], color="0.93", zorder=0)
        still = "".join(f", {name} {number}" for name, number in held.items())
        axes.set(xlabel=f"{names[index]}{still} (trained: grey)", xlim=(0, None), ylim=(0, None))
    panels[0].set_ylabel(what.label)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    figure.suptitle(f"{_PICTURES[task].title}: beyond them, median and quartiles over seeds")
    return figure


def _band(axes: Axes, x: list, median: list, low: list, high: list, label: str, seeds: int) -> None:
    # A model has the same colour in all pictures.
    color = _COLORS.get(label, f"C{len(_COLORS)}")
    # Over the axis, or nothing is seen of one that stays at zero.
    over = {"clip_on": False, "zorder": 3}
    axes.plot(x, median, color=color, label=f"{label} ({seeds} seeds)", **over)
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def _optimum(name: str) -> float:
    """What the best predictor pays for a sequence that training draws, the mean of 10,000."""
    task = TASKS[name]()
    return float(task.optimal_bits(task.sample(jax.random.key(0), 10_000)).mean())


def main() -> None:
    """Draws what there is."""
    for task, picture in _PICTURES.items():
        if figure := curves(task, picture):
            figure.savefig(ROOT / "docs" / f"{task}_learning.png")
    for task, what in _REACHES.items():
        if figure := reach(task, what):
            figure.savefig(ROOT / "docs" / f"{task}_reach.png")


if __name__ == "__main__":
    main()
