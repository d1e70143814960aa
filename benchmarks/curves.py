"""Draws docs/<task>_learning.png from benchmarks/results/ensembles: python -m benchmarks.curves.

A task without results has no picture.
"""

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.figure import Figure

from benchmarks.commands import ROOT
from benchmarks.members import read

_MODELS = {
    "ntm": "NTM, feed-forward controller",
    "ntm_lstm": "NTM, LSTM controller",
    "lstm": "LSTM",
}


class Picture(NamedTuple):
    """The curves of a task.

    Attributes:
      title: stands over them.
      thousands: of sequences shown; what follows tells no more. None shows all.
      also: further configs with their labels, beside those named <task>_<model>.
    """

    title: str
    thousands: int | None = None
    also: Mapping[str, str] = {}


_PICTURES = {
    "copy": Picture(
        "Copy, lengths up to 20", 20, {"copy_ntm_keras": "NTM of ntm_keras, its format"}
    ),
}


def curves(task: str, picture: Picture) -> Figure | None:
    """A line for the median over seeds, a band between the quartiles; None without results."""
    labels = {f"{task}_{model}": label for model, label in _MODELS.items()} | {**picture.also}
    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for name, label in labels.items():
        document = read(f"ensembles/{name}")
        if document is None:
            continue
        curve, seeds = document["curve"], len(document["summary"]["members"])
        thousands = [point["sequences"] / 1000 for point in curve]
        median, low, high = (
            [point[key] for point in curve]
            for key in ("median", "lower_quartile", "upper_quartile")
        )
        (line,) = axes.plot(thousands, median, label=f"{label} ({seeds} seeds)")
        axes.fill_between(thousands, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    if not axes.lines:
        return None
    axes.set(
        title=f"{picture.title}: learning, median and quartiles over seeds",
        xlabel="sequences (thousands)",
        ylabel="cost per sequence (bits)",
        xlim=(0, picture.thousands),
        ylim=0,
    )
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Draws what there is."""
    for task, picture in _PICTURES.items():
        if figure := curves(task, picture):
            figure.savefig(ROOT / "docs" / f"{task}_learning.png")


if __name__ == "__main__":
    main()
