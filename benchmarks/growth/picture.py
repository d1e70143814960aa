"""The picture of growth."""

from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.growth.sweeps import SWEEPS, size_of

__all__ = ["picture"]


def picture(document: Mapping[str, Any]) -> Figure:
    """Time above memory, a column for each sweep, all axes logarithmic.

    A grey line through the last point is what growth in proportion would be.
    """
    figure = Figure((13.0, 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(SWEEPS), sharex="col", squeeze=False)
    for column, (name, sweep) in enumerate(SWEEPS.items()):
        above, below = axes[:, column]
        for work in dict.fromkeys(point.work for point in sweep.points):
            rows = [row for row in document["rows"] if (row["sweep"], row["work"]) == (name, work)]
            rows.sort(key=lambda row, name=name: size_of(name, row))
            if not rows:
                continue
            sizes = [size_of(name, row) for row in rows]
            for panel, values in (
                (above, [row["seconds"]["median"] for row in rows]),
                (below, [row["planned_bytes"] / 2**20 for row in rows]),
            ):
                panel.plot(
                    [sizes[0], sizes[-1]],
                    [values[-1] * sizes[0] / sizes[-1], values[-1]],
                    color="0.85",
                    linewidth=1,
                    zorder=0,
                )
                panel.plot(sizes, values, marker="o", markersize=3.5, label=work)
        for panel in (above, below):
            panel.set(xscale="log", yscale="log")
        below.set(xlabel=sweep.axis)
        if above.lines:
            above.legend(frameon=False, fontsize="small")
    axes[0, 0].set(ylabel="seconds of an update or evaluation")
    axes[1, 0].set(ylabel="memory (MiB, planned by XLA)")
    figure.suptitle("Growth; in grey, growth in proportion")
    return figure
