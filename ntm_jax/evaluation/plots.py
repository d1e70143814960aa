"""Plots of the outputs and the memory access of a trained model: the paper's figures 4 and 6.

Nothing here uses pyplot or other global state. Time runs to the right, bits and slots upwards; all
are counted from 0.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ntm_jax import models
from ntm_jax.cell import StepTrace
from ntm_jax.evaluation import traces
from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.tasks.base import Size, describe_size

__all__ = ["plot_memory_access", "plot_predictions", "save_plots"]


def plot_predictions(examples: Mapping[str, tuple[Any, Any]], title: str) -> Figure:
    """Plots targets above outputs of several examples, with bit errors marked: figure 4.

    The width of a panel is proportional to its number of steps, up to 120 steps, which fill a row.
    Short sequences share a row, in the order given. An output counts as a bit error if it is NaN
    or on the other side of 0.5 than the target.

    Args:
      examples: targets [L, O] and output probabilities [L, O] at the scored steps, by name, such
        as "length 10".
      title: title of the figure.

    Raises:
      ValueError: there are no examples, or a shape does not fit.
    """
    if not examples:
        raise ValueError("examples: expected at least one, got none")
    pairs = {}
    for name, pair in examples.items():
        targets, outputs = pairs[name] = [np.asarray(array, float) for array in pair]
        if targets.ndim != 2 or targets.shape != outputs.shape:
            shapes = f"{targets.shape} and {outputs.shape}"
            raise ValueError(f"examples[{name!r}]: expected two arrays [L, O], got {shapes}")

    # All sizes in inches; the grid has a column per time step, so that steps are equally wide.
    width, left, right, top = 13.0, 0.8, 0.72, 0.4
    max_steps, num_bits = np.max([targets.shape for targets, _ in pairs.values()], axis=0)
    columns, bar_space, bar_width = int(np.clip(max_steps, 40, 120)), 0.25, 0.18
    column_width = (width - left - right - bar_space - bar_width) / columns
    panel_height = np.clip(0.095 * num_bits, 0.6, 2.0)
    row_heights = [0.5, panel_height, 0.1, panel_height, 0.55]  # heading, panels, space, time axis
    places, row, start, marks = {}, 0, 0, []
    for name, (targets, _) in pairs.items():
        steps = min(len(targets), columns)
        if start + steps > columns:
            row, start = row + 1, 0
        places[name] = row * len(row_heights), start, start + steps
        start += round((max(steps * column_width, 1.6) + 0.3) / column_width)  # headings need 1.6

    heights, widths = row_heights * (row + 1), [column_width] * columns + [bar_space, bar_width]
    height = top + sum(heights)
    figure = Figure((width, height), dpi=110)
    figure.subplots_adjust(left / width, 0, 1 - right / width, 1 - top / height, wspace=0, hspace=0)
    grid = figure.add_gridspec(
        len(heights), len(widths), height_ratios=heights, width_ratios=widths
    )
    for name, (targets, outputs) in pairs.items():
        row, start, stop = places[name]
        above = figure.add_subplot(grid[row + 1, start:stop])
        below = figure.add_subplot(grid[row + 3, start:stop])
        for axes, label, values in ((above, "targets", targets), (below, "outputs", outputs)):
            image = _imshow(axes, values, "gray", Normalize(0, 1))
            axes.tick_params(labelleft=start == 0, labelbottom=axes is below)
            axes.set_ylabel(f"{label}\nbit" if start == 0 else "")
        errors = ((outputs > 0.5) != (targets > 0.5)) | np.isnan(outputs)
        if errors.any():  # hollow marks, which show the output
            marks = below.plot(
                *np.nonzero(errors), "o", label="bit error", markersize=6, mfc="none", mec="red"
            )
        below.set_xlabel("time step")
        heading = f"{name}\nbit errors: {errors.sum()} of {errors.size}"
        above.set_title(heading, loc="left", fontsize=9)
    figure.colorbar(image, cax=figure.add_subplot(grid[1:-1, -1]), label="probability of a 1")
    figure.suptitle(title, x=left / width, y=1 - 0.12 / height, ha="left", va="top")
    if marks:
        figure.legend(handles=marks, loc="upper right", frameon=False, borderaxespad=0.3)
    return figure


def plot_memory_access(
    inputs: Any, outputs: Any, trace: StepTrace, title: str, first_scored_step: int | None = None
) -> Figure:
    """Plots the vectors written and read, and the weightings of all heads: figure 6.

    The left column has inputs, add vectors and write weightings, the right column outputs, read
    vectors and read weightings; each further head adds two rows. All heads show the same slots,
    those that any head uses; they form a ring, so that slot 0 can follow the last slot. The colors
    of vectors end at the 99th percentile of their magnitudes.

    Args:
      inputs: [T, I], the inputs of one example.
      outputs: [T, O], output probabilities.
      trace: the second result of `models.trace` for this example, leaves [T, ...].
      title: title of the figure.
      first_scored_step: if given, a dashed line marks the start of this step in every panel.

    Raises:
      ValueError: an array has a batch axis, or another number of steps.
    """
    arrays = {
        "inputs [T, I]": inputs,
        "outputs [T, O]": outputs,
        "add vectors [T, W, M]": trace.interface.add,
        "read vectors [T, R, M]": trace.read_vectors,
        "write weightings [T, W, N]": trace.write_weights,
        "read weightings [T, R, N]": trace.read_weights,
    }
    arrays = {name: np.asarray(array, float) for name, array in arrays.items()}
    inputs, outputs, adds, reads, write_weights, read_weights = arrays.values()
    for name, array in arrays.items():
        if array.ndim != name.count(",") + 1 or len(array) != len(inputs):
            raise ValueError(f"expected {name} with T = {len(inputs)}, got shape {array.shape}")

    start, stop = _used_slots(np.concatenate([write_weights, read_weights], axis=1))
    num_slots, num_heads = write_weights.shape[-1], max(adds.shape[1], reads.shape[1])
    slots = f"{start % num_slots} to {stop - 1} of" if stop - start < num_slots else "all"
    ring = ", a ring" if start < 0 else ""

    def make_panels(first_panel: Any, verb: str, access: str, vectors: Any, weights: Any) -> Any:
        # The largest values would make all others pale.
        magnitudes = np.abs(vectors[np.isfinite(vectors)])
        limit = np.quantile(magnitudes, 0.99) if magnitudes.any() else 1.0
        limit = limit or magnitudes.max()
        beyond = np.mean(magnitudes > limit) if magnitudes.size else 0.0
        label = f"value; {beyond:.1%} beyond" if beyond else "value"
        vector_style = "component", 0, "RdBu_r", Normalize(-limit, limit), label
        weight_style = f"slot ({slots} {num_slots}{ring})", start, "viridis", unit, "weight"
        weights = np.take(weights, range(start, stop), axis=-1, mode="wrap")
        yield first_panel
        for head in range(vectors.shape[1]):
            yield f"{verb} vectors, head {head}", vectors[:, head], *vector_style
            yield f"{access} weighting, head {head}", weights[:, head], *weight_style

    unit, input_norm = Normalize(0, 1), Normalize(min(inputs.min(), 0), max(inputs.max(), 1))
    first_panel = "inputs", inputs, "bit", 0, "gray", input_norm, "value"
    left = make_panels(first_panel, "add", "write", adds, write_weights)
    first_panel = "outputs", outputs, "bit", 0, "gray", unit, "probability"
    right = make_panels(first_panel, "read", "read", reads, read_weights)
    ratios = [1.0] + ([1.5, 2.5] if num_heads == 1 else [1.0, 1.4]) * num_heads
    height = 0.9 + 1.25 * sum(ratios) + 0.33 * len(ratios)
    figure = Figure((13.0, height), dpi=110, layout="constrained")
    grid = figure.add_gridspec(len(ratios), 2, height_ratios=ratios)
    for column, panels in enumerate((left, right)):
        for row, (heading, values, label, first, colors, norm, bar_label) in enumerate(panels):
            axes = figure.add_subplot(grid[row, column])
            image = _imshow(axes, values, colors, norm, first)
            extend = "both" if "beyond" in bar_label else "neither"
            figure.colorbar(image, ax=axes, pad=0.01, label=bar_label, extend=extend)
            axes.set_title(heading, loc="left", fontsize=9)
            axes.set_ylabel(label)
            axes.tick_params(labelbottom=False)
            if label.startswith("slot"):
                axes.yaxis.set_major_formatter(lambda slot, _: f"{round(slot) % num_slots}")
            if first_scored_step and heading == "outputs":
                axes.set_title("outputs (gray: not scored)", loc="left", fontsize=9)
                axes.axvspan(-0.5, first_scored_step - 0.5, color="0.75", alpha=0.85)
            if first_scored_step is not None:
                axes.axvline(first_scored_step - 0.5, color="red", linewidth=1, linestyle="--")
        line = "" if first_scored_step is None else " (dashed line: first scored step)"
        axes.set_xlabel(f"time step{line}")
        axes.tick_params(labelbottom=True)
    figure.suptitle(title)
    return figure


def save_plots(
    trained: TrainedModel, sizes: Sequence[Size], directory: Path, seed: int
) -> list[Path]:
    """Plots fresh examples of each size, and the memory access at one of the sizes.

    Writes predictions.png and, for an NTM, memory_access.png, which shows the largest size of at
    most 60 steps, or else the smallest size.

    Args:
      trained: the model; of an ensemble, the first member is used.
      sizes: the sizes of the examples.
      directory: the directory of the files; created if it does not exist.
      seed: seed of the examples.

    Returns:
      The paths of the files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model, params, task = trained.model, trained.first_params, trained.task
    examples = {}
    for size in sizes:
        key = functools.reduce(jax.random.fold_in, size, jax.random.key(seed))
        inputs, targets, mask = task.sample_size(key, 1, *size)
        outputs = jax.nn.sigmoid(jnp.asarray(model.apply({"params": params}, inputs)))
        examples[describe_size(task, size)] = targets[mask], outputs[mask]
    figures = {
        "predictions.png": plot_predictions(examples, f"Targets and outputs: {trained.name}")
    }
    if isinstance(model, models.NTM):
        size = traces.traced_size(task, sizes)
        example = traces.trace_example(model, params, task, size, seed)
        figures["memory_access.png"] = plot_memory_access(
            example.inputs,
            example.outputs,
            example.steps,
            f"Memory access at {describe_size(task, size)}: {trained.name}",
            first_scored_step=int(np.argmax(example.mask)),
        )
    for name, figure in figures.items():
        figure.savefig(directory / name)
    return [directory / name for name in figures]


def _imshow(axes: Axes, values: np.ndarray, colors: str, norm: Normalize, first=0) -> Any:
    """Draws [T, rows], with rows counted from `first`, and returns the image."""
    steps, rows = values.shape
    nearest = steps <= axes.bbox.width and rows <= axes.bbox.height
    axes.locator_params(steps=[1, 2, 4, 5, 10], integer=True, min_n_ticks=1)
    return axes.imshow(
        values.T,
        cmap=colors,
        norm=norm,
        aspect="auto",
        interpolation="nearest" if nearest else "auto",
        origin="lower",
        extent=(-0.5, steps - 0.5, first - 0.5, first + rows - 0.5),
    )


def _used_slots(weights: np.ndarray) -> tuple[int, int]:
    """Returns the range of slots that some weights [T, heads, N] use, with a margin of two slots.

    Slots are circular: the range leaves out the longest unused stretch, and starts below 0 if the
    used slots continue across slot 0.
    """
    num_slots = weights.shape[-1]
    used = np.flatnonzero((weights > 0.01).any(axis=(0, 1)))
    if not len(used):
        return 0, num_slots
    gaps = np.diff(used, append=used[0] + num_slots)
    longest = np.argmax(gaps)
    first, last = used[(longest + 1) % len(used)], used[longest]
    if gaps[longest] <= 5:  # the margins cover the gap
        return 0, num_slots
    first = first if first <= last else first - num_slots
    # A range that does not cross slot 0 starts at slot 0, not in the margin below it.
    return (first - 2 if first < 0 else max(first - 2, 0)), min(last + 3, first + num_slots)
