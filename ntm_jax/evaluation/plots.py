"""Pictures of what a machine does: the paper's figures 4 and 6.

Every function takes arrays that NumPy can read and returns a `matplotlib.figure.Figure`, which the
caller saves: `answers(examples, "NTM").savefig("answers.png")`. Nothing here touches pyplot or any
other global state. Time runs to the right, bits and slots upwards, and all count from 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from ntm_jax.cell import Step

__all__ = ["answers", "memory_use"]

_BITS, _VECTORS, _WEIGHTS = "gray", "RdBu_r", "viridis"  # colour maps
_WRONG: dict[str, Any] = {"markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.5}
_USED = 0.01  # a slot is used where some weight is above this


def answers(examples: Mapping[str, tuple[Any, Any]], title: str) -> Figure:
    """Targets above outputs of several examples, wrong bits marked: the paper's figure 4.

    A panel is as wide as its sequence is long, up to 120 steps, which fill a row. Short sequences
    share a row, in the order given.

    Args:
      examples: name, such as "length 10" -> (targets [L, bits], probabilities [L, bits]), steps of
        the answer only.
      title: stands over the whole figure.

    Returns:
      The figure. A bit is wrong where its output is NaN or on the other side of one half.

    Raises:
      ValueError: there is no example, or a shape does not fit.
    """
    if not examples:
        raise ValueError("examples: expected at least one, got none")
    pairs = {}
    for name, pair in examples.items():
        targets, outputs = pairs[name] = [np.asarray(array, float) for array in pair]
        if targets.ndim != 2 or targets.shape != outputs.shape:
            raise ValueError(
                f"examples[{name!r}]: expected twice [L, bits], "
                f"got shapes {targets.shape} and {outputs.shape}"
            )

    # All in inches, so that a step is as wide in one panel as in the others.
    width, left, right, top, head, foot, gap = 13.0, 0.8, 1.15, 0.4, 0.5, 0.55, 0.1
    full = width - left - right
    steps, bits = np.max([targets.shape for targets, _ in pairs.values()], axis=0)
    step_width, bit_panel = full / np.clip(steps, 40, 120), np.clip(0.095 * bits, 0.6, 2.0)
    row_height = head + 2 * bit_panel + gap + foot
    places, row, x = {}, 0, 0.0
    for name, (targets, _) in pairs.items():
        panel = min(step_width * len(targets), full)
        if x + panel > full:
            row, x = row + 1, 0.0
        places[name] = row, x, panel
        x += max(panel, 1.6) + 0.3  # a title is wider than a short panel

    height = top + row_height * (row + 1)
    figure = _figure(width, height)

    def axes_at(x: float, y: float, panel_width: float, panel_height: float) -> Axes:
        return figure.add_axes((x / width, y / height, panel_width / width, panel_height / height))

    norm = Normalize(0, 1)
    for name, (targets, outputs) in pairs.items():
        row, x, panel = places[name]
        y = height - top - row_height * (row + 1) + foot
        above = axes_at(left + x, y + bit_panel + gap, panel, bit_panel)
        below = axes_at(left + x, y, panel, bit_panel)
        for axes, what, values in ((above, "targets", targets), (below, "outputs", outputs)):
            image = _image(axes, values, _BITS, norm)
            axes.tick_params(labelleft=x == 0, labelbottom=axes is below)
            if x == 0:
                axes.set_ylabel(f"{what}\nbit")
        wrong = ((outputs > 0.5) != (targets > 0.5)) | np.isnan(outputs)
        marks = below.plot(*np.nonzero(wrong), "ro", label="wrong bit", **_WRONG)
        below.set_xlabel("time step")
        heading = f"{name}\n{wrong.sum()} of {wrong.size} bits wrong"
        above.set_title(heading, loc="left", fontsize=9)
    bar = axes_at(width - right + 0.25, foot, 0.18, height - top - head - foot)
    figure.colorbar(image, cax=bar, label="probability of a 1")
    figure.suptitle(title, x=left / width, y=1 - 0.12 / height, ha="left", va="top")
    figure.legend(handles=marks, loc="upper right", frameon=False, borderaxespad=0.3)
    return figure


def memory_use(
    inputs: Any, outputs: Any, step: Step, title: str, length: int | None = None
) -> Figure:
    """What the heads write, read and look at in every step: the paper's figure 6.

    On the left inputs, add vectors and write weightings, on the right outputs, read vectors and
    read weightings; each further head adds two rows. All heads show the same slots, those that
    any head uses; the slots before slot 0, on the other side of the ring, count from -1 down.

    Args:
      inputs: [T, I], of one example.
      outputs: [T, O], probabilities.
      step: what `models.trace` recorded for that example, leaves [T, ...].
      title: stands over the whole figure.
      length: if given, a line in every panel sets this many first steps apart from the rest.

    Returns:
      The figure.

    Raises:
      ValueError: an array is not that of one example, or has another number of steps.
    """
    arrays = {
        "inputs [T, I]": inputs,
        "outputs [T, O]": outputs,
        "add vectors [T, W, M]": step.interface.add,
        "read vectors [T, R, M]": step.read_vectors,
        "write weights [T, W, N]": step.write_weights,
        "read weights [T, R, N]": step.read_weights,
    }
    arrays = {name: np.asarray(array, float) for name, array in arrays.items()}
    inputs, outputs, adds, reads, writing, reading = arrays.values()
    for name, array in arrays.items():
        if array.ndim != name.count(",") + 1 or len(array) != len(inputs):
            raise ValueError(f"expected {name} with T = {len(inputs)}, got shape {array.shape}")

    first, end = _used_slots(np.concatenate([writing, reading], axis=1))
    num_slots = writing.shape[-1]
    slot = f"slot ({f'{first} to {end - 1} of' if end - first < num_slots else 'all'} {num_slots})"

    def focus_of(weights: np.ndarray) -> np.ndarray:
        return np.take(weights, range(first, end), axis=-1, mode="wrap")

    num_heads = max(adds.shape[1], reads.shape[1])
    ratios = [1.0] + ([1.5, 2.5] if num_heads == 1 else [1.0, 1.4]) * num_heads
    figure = _figure(13.0, 0.9 + 1.25 * sum(ratios) + 0.33 * len(ratios), layout="constrained")
    grid = figure.add_gridspec(len(ratios), 2, height_ratios=ratios)
    unit, shown = Normalize(0, 1), Normalize(min(inputs.min(), 0), max(inputs.max(), 1))
    columns = (
        ("inputs", inputs, "value", shown, "write head {}: ", "add vectors", adds, writing),
        ("outputs", outputs, "probability", unit, "read head {}: ", "read vectors", reads, reading),
    )
    for column, (name, values, meaning, norm, head, kind, vectors, weights) in enumerate(columns):
        limit = np.max(np.abs(vectors), where=np.isfinite(vectors), initial=0) or 1.0
        signed = Normalize(-limit, limit)
        panels = [(name, values, "bit", _BITS, norm, meaning)]
        for index in range(vectors.shape[1]):
            of, vector, focus = head.format(index), vectors[:, index], focus_of(weights[:, index])
            panels.append((of + kind, vector, "component", _VECTORS, signed, "value"))
            panels.append((of + "weighting", focus, slot, _WEIGHTS, unit, "weight"))
        for row, (heading, values, rows, colours, norm, meaning) in enumerate(panels):
            axes = figure.add_subplot(grid[row, column])
            image = _image(axes, values, colours, norm, first if rows == slot else 0)
            figure.colorbar(image, ax=axes, pad=0.01, label=meaning)
            axes.set_title(heading, loc="left", fontsize=9)
            axes.set_ylabel(rows)
            axes.tick_params(labelbottom=row == len(panels) - 1)
            if length is not None:
                axes.axvline(length - 0.5, color="red", linewidth=1, linestyle="--")
        axes.set_xlabel("time step" + (f" (line: after {length} steps)" if length else ""))
    figure.suptitle(title)
    return figure


def _figure(width: float, height: float, **options: Any) -> Figure:
    figure = Figure((width, height), dpi=110, **options)
    FigureCanvasAgg(figure)
    return figure


def _image(axes: Axes, values: np.ndarray, colours: str, norm: Normalize, first=0) -> AxesImage:
    """Draws [T, rows], time to the right, rows upwards and counted from `first`."""
    steps, rows = values.shape
    crisp = steps <= axes.bbox.width and rows <= axes.bbox.height
    for axis in (axes.xaxis, axes.yaxis):
        locator = MaxNLocator("auto", steps=[1, 2, 4, 5, 10], integer=True, min_n_ticks=1)
        axis.set_major_locator(locator)
    return axes.imshow(
        values.T,
        cmap=colours,
        norm=norm,
        aspect="auto",
        interpolation="nearest" if crisp else "auto",
        origin="lower",
        extent=(-0.5, steps - 0.5, first - 0.5, first + rows - 0.5),
    )


def _used_slots(weights: np.ndarray) -> tuple[int, int]:
    """The first used slot and the one behind the last, with a margin of two, of [T, heads, N].

    The slots are a ring: what is left out is its longest unused stretch, and the slots before
    slot 0 are counted down from there, -1 for the last.
    """
    num_slots = weights.shape[-1]
    used = np.flatnonzero((weights > _USED).any(axis=(0, 1)))
    if not len(used):
        return 0, num_slots
    gaps = np.diff(used, append=used[0] + num_slots)
    longest = np.argmax(gaps)
    first, last = used[(longest + 1) % len(used)], used[longest]
    if gaps[longest] <= 5:  # nothing to leave out beyond the margins
        return 0, num_slots
    first = first if first <= last else first - num_slots
    # Without a need to go round, start at 0 and not in the margin below it.
    return (first - 2 if first < 0 else max(first - 2, 0)), min(last + 3, first + num_slots)
