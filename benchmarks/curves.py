"""Draws docs/copy_learning.png from benchmarks/results/ensembles: python -m benchmarks.curves."""

import json

import matplotlib.pyplot as plt

from benchmarks.commands import RESULTS, ROOT

_CURVES = {
    "copy_ntm": "NTM, feed-forward controller",
    "copy_ntm_lstm": "NTM, LSTM controller",
    "copy_ntm_keras": "NTM of ntm_keras, its format",
}
_THOUSANDS = 20  # of sequences shown; all that follows is next to zero


def main() -> None:
    """A line for the median over seeds, a band between the quartiles."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained", dpi=150)
    for name, label in _CURVES.items():
        path = RESULTS / "ensembles" / f"{name}.json"
        if not path.exists():
            continue
        document = json.loads(path.read_text())
        curve, seeds = document["curve"], len(document["summary"]["members"])
        thousands = [point["sequences"] / 1000 for point in curve]
        median, low, high = (
            [point[key] for point in curve]
            for key in ("median", "lower_quartile", "upper_quartile")
        )
        (line,) = axes.plot(thousands, median, label=f"{label} ({seeds} seeds)")
        axes.fill_between(thousands, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(
        title="Copy, lengths up to 20: learning, median and quartiles over seeds",
        xlabel="sequences (thousands)",
        ylabel="cost per sequence (bits)",
        xlim=(0, _THOUSANDS),
        ylim=0,
    )
    axes.legend(frameon=False)
    figure.savefig(ROOT / "docs" / "copy_learning.png")


if __name__ == "__main__":
    main()
