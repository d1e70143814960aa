"""Plots of the outputs, the memory access and the memory of a trained model; figures 4 and 6.

Nothing here uses pyplot or other global state. Bits, slots and time steps are counted from 0; bits
and slots run upwards. The slots form a ring: slot N - 1 is next to slot 0. A quantity has the same
colors in all figures: bits gray, contents of the memory red and blue, weightings green and yellow.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ntm_jax import models
from ntm_jax.cell import StepTrace
from ntm_jax.evaluation.traces import (
    ExampleTrace,
    analyze_heads,
    load_training,
    trace_example,
    traced_size,
)
from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.tasks.base import Size, describe_size
from ntm_jax.tasks.ngrams import Ngrams, optimal_probabilities

__all__ = [
    "plot_heads",
    "plot_memory",
    "plot_memory_access",
    "plot_predictions",
    "plot_training",
    "save_plots",
]

# Distinct in every kind of color blindness, from each other and from the colors of the memory.
READ_COLOR, WRITE_COLOR = "#009E73", "#E69F00"
_LINE_COLOR, MARK_COLOR = "#0072B2", "#D55E00"
# Inputs below 0, such as priorities, are blue, so that 0 is black and 1 white in all panels.
SIGNED_BITS = LinearSegmentedColormap.from_list("signed_bits", ["#56B4E9", "black", "white"])
_ROW_LABELS = ("targets", "outputs", "optimal")
_MAX_STEPS_PER_ROW, _MAX_EXAMPLES_PER_ROW = 120, 6


def plot_predictions(examples: Mapping[str, tuple[Any, ...]], title: str) -> Figure:
    """Plots targets above outputs of several examples, with bit errors marked: figure 4.

    Up to 120 steps share a row, in the order given; the steps of a row are equally wide. An output
    counts as a bit error if it is NaN or on the other side of 0.5 than the target.

    Args:
      examples: targets [L, O] and output probabilities [L, O] at the scored steps, by name, such
        as "length 10". A third array has the probabilities of the Bayes-optimal estimator.
      title: title of the figure.

    Raises:
      ValueError: there are no examples, or a shape does not fit.
    """
    if not examples:
        raise ValueError("examples: expected at least one, got none")
    arrays: dict[str, list[np.ndarray]] = {}
    rows: list[list[str]] = [[]]
    for name, values in examples.items():
        targets, *others = arrays[name] = [np.asarray(array, float) for array in values]
        if targets.ndim != 2 or {array.shape for array in others} != {targets.shape}:
            shapes = " and ".join(str(array.shape) for array in arrays[name])
            raise ValueError(f"examples[{name!r}]: expected arrays [L, O], got {shapes}")
        steps = sum(len(arrays[other][0]) for other in [*rows[-1], name])
        if steps > _MAX_STEPS_PER_ROW or len(rows[-1]) == _MAX_EXAMPLES_PER_ROW:
            rows.append([])
        rows[-1].append(name)
    rows = [row for row in rows if row]

    # All sizes in inches.
    num_panels = max(map(len, arrays.values()))
    num_bits = max(targets.shape[1] for targets, *_ in arrays.values())
    left, right, gap, space, heading_width = 0.8, 1.1, 0.35, 0.1, 1.6 if num_panels == 2 else 4.6
    panel_height = np.clip(0.12 * num_bits, 0.6, 2.0)
    row_height = 1.05 + num_panels * (panel_height + space)
    layout = []
    for row in rows:
        lengths = np.array([len(arrays[name][0]) for name in row])
        step_width = min(0.28, (13 - left - right + gap - gap * len(row)) / lengths.sum())
        widths = np.maximum(step_width * lengths, heading_width) + gap
        layout.append((step_width, np.cumsum([0, *widths])))
    row_widths = [edges[-1] - gap for _, edges in layout]
    row_width = max(*row_widths, 0.09 * len(title) - right)
    width, height = left + row_width + right, 0.35 + row_height * len(rows)
    figure = Figure((width, height), dpi=110)

    total_errors = 0
    for index, (step_width, edges) in enumerate(layout):
        for name, x in zip(rows[index], edges[:-1], strict=True):
            y, (targets, *others) = 0.9 + index * row_height, arrays[name]
            errors = [bit_errors(values, targets) for values in others]
            panels = []
            for label, array in zip(_ROW_LABELS, arrays[name], strict=False):
                axes = add_axes(figure, left + x, y, len(array) * step_width, panel_height)
                image = imshow(axes, array, "gray", Normalize(0, 1))
                axes.tick_params(labelleft=x == 0, labelbottom=False)
                axes.set_ylabel(f"{label}\nbit" if x == 0 else "")
                panels.append(axes)
                y += panel_height + space
            # Open marks, smaller than a cell: the output stays visible.
            size = 50 * min(step_width, panel_height / targets.shape[1])
            style = {"markersize": np.clip(size, 3, 7), "mew": np.clip(size / 4, 0.8, 1.6)}
            for axes, wrong in zip(panels[1:], errors, strict=True):
                marks = axes.plot(*np.nonzero(wrong), "s", mfc="none", mec=MARK_COLOR, **style)
                total_errors += wrong.sum()
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("time step")
            text = f"{name}\nbit errors: {errors[0].sum()} of {targets.size}"
            if errors[1:]:
                cost, optimal_cost = (_cost(values, targets) for values in others)
                text += f" (Bayes-optimal: {errors[1].sum()})"
                text += f", cost: {cost:.1f} bits (Bayes-optimal: {optimal_cost:.1f})"
            panels[0].set_title(text, loc="left", fontsize=9)
    bar_axes = add_axes(figure, left + row_widths[0] + 0.25, 0.9, 0.18, row_height - 1.05 - space)
    figure.colorbar(image, cax=bar_axes, label="probability of a 1")
    figure.suptitle(title, x=left / width, y=1 - 0.12 / height, ha="left", va="top", fontsize=11)
    if total_errors:
        figure.legend(marks, ["bit error"], loc="lower right", frameon=False, borderaxespad=0.1)
    return figure


def plot_memory_access(
    inputs: Any, outputs: Any, trace: StepTrace, title: str, first_scored_step: int | None = None
) -> Figure:
    """Plots the vectors written and read, and the weightings of all heads: figure 6.

    The left column has inputs, add vectors and write weightings, the right column outputs, read
    vectors and read weightings; each further head adds two panels. All heads show the same slots,
    those that any head uses.

    Args:
      inputs: [T, I], the inputs of one example.
      outputs: [T, O], output probabilities.
      trace: the second result of `models.trace` for this example, leaves [T, ...].
      title: title of the figure.
      first_scored_step: if given, a dashed line marks the start of this step in every panel, and
        outputs before it are hatched.

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

    num_slots = write_weights.shape[-1]
    start, stop = used_slots(np.concatenate([write_weights, read_weights], axis=1))
    limit, largest = color_limit(adds, reads)
    value_label = "value" if limit == largest else f"value\n(largest: {largest:.3g})"
    vector_style = "component", 0, "RdBu_r", Normalize(-limit, limit), value_label
    unit = Normalize(0, 1)

    def head_panels(verb: str, access: str, vectors: Any, weights: Any) -> Any:
        weight_style = _slot_label(start, stop, num_slots), start, "viridis", unit, "weight"
        weights = np.take(weights, range(start, stop), axis=-1, mode="wrap")
        for head in range(vectors.shape[1]):
            yield f"{verb} vectors, head {head}", vectors[:, head], *vector_style
            yield f"{access} weighting, head {head}", weights[:, head], *weight_style

    unscored = ", not scored where hatched" if first_scored_step else ""
    inputs_panel = "inputs", inputs, "bit", 0, *bit_colors(inputs), "value"
    outputs_panel = f"outputs{unscored}", outputs, "bit", 0, "gray", unit, "probability"
    columns = (
        [inputs_panel, *head_panels("add", "write", adds, write_weights)],
        [outputs_panel, *head_panels("read", "read", reads, read_weights)],
    )

    # All sizes in inches. The column with fewer heads has higher panels.
    ratios = [1.9, 3.2] if max(map(len, columns)) == 3 else [1.25, 1.75]
    heads_height = (max(map(len, columns)) // 2) * (sum(ratios) + 0.7)
    figure = Figure((13.0, 2.8 + heads_height), dpi=110)
    for left, panels in zip((0.8, 7.3), columns, strict=True):
        y, num_heads = 0.75, len(panels) // 2
        scale = (heads_height / num_heads - 0.7) / sum(ratios)
        heights = [1.3, *[ratio * scale for ratio in ratios] * num_heads]
        for panel, panel_height in zip(panels, heights, strict=True):
            heading, values, label, first, colors, norm, bar_label = panel
            axes = add_axes(figure, left, y, 4.7, panel_height)
            image = imshow(axes, values, colors, norm, first)
            bar_axes = add_axes(figure, left + 4.76, y, 0.13, panel_height)
            figure.colorbar(image, cax=bar_axes, label=bar_label, extend=_extend(values, norm))
            axes.set_title(heading, loc="left", fontsize=9)
            axes.set_ylabel(label)
            axes.tick_params(labelbottom=False)
            if label.startswith("slot"):
                number_slots(axes, num_slots)
            if first_scored_step is not None:
                _mark_first_scored_step(axes, first_scored_step)
                if unscored and heading.startswith("outputs"):
                    hatch: Any = {"facecolor": (1, 1, 1, 0.6), "edgecolor": "0.4", "hatch": "///"}
                    axes.axvspan(-0.5, first_scored_step - 0.5, linewidth=0, **hatch)
            y += panel_height + 0.35
        line = "" if first_scored_step is None else " (dashed line: first scored step)"
        axes.set_xlabel(f"time step{line}")
        axes.tick_params(labelbottom=True)
    figure.suptitle(title, y=1 - 0.1 / figure.get_figheight(), va="top")
    return figure


def plot_heads(example: ExampleTrace, title: str) -> Figure:
    """Plots the head parameters and the entropy of the weighting over time, a row for each head.

    The content share is the part of the weighting that came from the content weighting.

    Args:
      example: the trace.
      title: title of the figure.
    """
    analyses, interface = analyze_heads(example), example.steps.interface
    steps, num_slots = np.arange(len(example.inputs)), example.steps.memory.shape[1]
    rows = [(kind, h) for kind in analyses for h in range(getattr(interface, kind).gate.shape[1])]
    figure = Figure((13.0, 1.1 + 1.45 * len(rows)), dpi=110, layout="constrained")
    panels = figure.subplots(len(rows), 4, sharex=True, sharey="col", squeeze=False)
    for (kind, head), row in zip(rows, panels, strict=True):
        parameters, analysis = getattr(interface, kind), analyses[kind]
        share = np.asarray(analysis.content_share)[:, head]
        row[0].fill_between(steps, share, step="mid", color="0.75", linewidth=0)
        row[0].set(ylim=(-0.05, 1.05), ylabel=f"{kind} head {head}")
        lines = {
            "gate (line), content share (filled)": parameters.gate,
            "key strength": parameters.strength,
            "sharpness": parameters.sharpness,
            f"entropy of the weighting (bits); {num_slots} slots": analysis.entropy,
        }
        for axes, top, (heading, values) in zip(row, panels[0], lines.items(), strict=True):
            axes.plot(steps, np.asarray(values)[:, head], color=_LINE_COLOR)
            _mark_first_scored_step(axes, example.first_scored_step)
            axes.xaxis.get_major_locator().set_params(integer=True)
            top.set_title(heading, fontsize=9)
        row[3].set_ylim(-0.03 * np.log2(num_slots), 1.03 * np.log2(num_slots) + 0.01)
    for axes in panels[0, 1:3]:
        axes.set_yscale("log")
        axes.set_ylim(min(1.0, axes.get_ylim()[0]), 1.2 * axes.get_ylim()[1])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=7))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    figure.supxlabel("time step (dashed line: first scored step)", fontsize=10)
    figure.suptitle(title)
    return figure


def plot_memory(example: ExampleTrace, title: str) -> Figure:
    """Plots the used slots of the memory before, between and after the two parts of an example.

    The panels are the memory before step 0, before the first scored step and after the last step,
    and the change during the scored steps. Triangles mark the slot of largest weight of each head,
    in the last panel at all scored steps.

    Args:
      example: the trace.
      title: title of the figure.
    """
    memory, read_weights, write_weights = (
        np.concatenate([getattr(example.initial, name)[None], getattr(example.steps, name)])
        for name in ("memory", "read_weights", "write_weights")
    )
    start, stop = used_slots(np.concatenate([write_weights, read_weights], axis=1))
    num_slots, first, last = memory.shape[1], example.first_scored_step, len(memory) - 1
    scored = np.arange(first + 1, last + 1)
    panels = [  # heading, values, indices of the weightings to mark
        ("before step 0", memory[0], np.array([0])),
        (f"before step {first}, the first scored step", memory[first], np.array([first])),
        (f"after step {last - 1}, the last step", memory[last], np.array([last])),
        (f"change from step {first} to {last - 1}", memory[last] - memory[first], scored),
    ][first == 0 :]
    limit, _ = color_limit(example.steps.interface.add, example.steps.read_vectors)
    norm, shown = Normalize(-limit, limit), np.stack([values for _, values, _ in panels])
    shown = np.take(shown, range(start, stop), axis=1, mode="wrap")
    height = 1.6 + np.clip(0.1 * (stop - start), 2, 7)
    figure = Figure((13.0, height), dpi=110, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, values, (heading, _, during) in zip(all_axes, shown, panels, strict=True):
        image = imshow(axes, values.T, "RdBu_r", norm, start)
        axes.set_title(heading, fontsize=9)
        axes.set_xlabel("component")
        number_slots(axes, num_slots)
        marks, style = [], {"transform": axes.get_yaxis_transform(), "clip_on": False}
        for edge, weights in enumerate((write_weights, read_weights)):
            slots = (np.unique(weights[during].argmax(-1)) - start) % num_slots + start
            slots, color = slots[slots < stop], (WRITE_COLOR, READ_COLOR)[edge]
            marks += axes.plot(np.full(len(slots), edge), slots, "><"[edge], color=color, **style)
    all_axes[0].set_ylabel(_slot_label(start, stop, num_slots))
    largest = color_limit(shown)[1]
    label = "value" if largest <= limit else f"value (largest: {largest:.3g})"
    figure.colorbar(image, ax=all_axes, pad=0.01, label=label, extend=_extend(shown, norm))
    labels = ["slot of a write head", "slot of a read head"]
    figure.legend(marks, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    return figure


def plot_training(
    examples: Mapping[int, ExampleTrace], params: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Plots outputs, weightings and head parameters in one sequence, and parameters, in training.

    The upper rows show the outputs and the weightings of all heads at up to six training steps, the
    lower row means over the time steps before and from the first scored one on.

    Args:
      examples: traces of the same sequence, by completed training steps.
      params: the root mean square of each parameter after these training steps, by name.
      title: title of the figure.

    Raises:
      ValueError: there are no traces.
    """
    if not examples:
        raise ValueError("examples: expected at least one, got none")
    numbers, traced = [*examples], [*examples.values()]
    chosen = np.unique(np.linspace(0, len(traced) - 1, 6).round().astype(int))
    weights = [head_weights(example) for example in traced]
    start, stop = used_slots(np.stack([array for heads in weights for array in heads.values()], 1))
    num_slots, first = traced[0].steps.memory.shape[1], traced[0].first_scored_step
    num_rows = 1 + len(weights[0])
    figure = Figure((13.0, 4.2 + 1.5 * num_rows), dpi=110, layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[num_rows, 2.4]).flat
    panels = upper.subplots(num_rows, len(chosen), sharex=True, sharey="row", squeeze=False)
    for column, index in zip(panels.T, chosen, strict=True):
        outputs, mask = np.asarray(traced[index].outputs), np.asarray(traced[index].mask, bool)
        errors = bit_errors(outputs, np.asarray(traced[index].targets))[mask].sum()
        column[0].set_title(f"{numbers[index]:,} steps: {errors} bit errors", fontsize=9)
        imshow(column[0], outputs, "gray", Normalize(0, 1))
        column[0].axvspan(-0.5, first - 0.5, color="0.9")  # not scored
        for axes, array in zip(column[1:], weights[index].values(), strict=True):
            shown = np.take(array, range(start, stop), axis=-1, mode="wrap")
            imshow(axes, shown, "viridis", Normalize(0, 1), start)
            number_slots(axes, num_slots)
        for axes in column:
            _mark_first_scored_step(axes, first)
    labels = ["outputs\nbit", *(f"{head}\nslot of {num_slots}" for head in weights[0])]
    for axes, label in zip(panels[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    upper.supxlabel("time step (dashed line: first scored step)", fontsize=10)

    gates, entropies, norms = lower.subplots(1, 3)
    analyses = [analyze_heads(example) for example in traced]
    phases = [("input", slice(first), ".--"), ("answer", slice(first, None), ".-")]
    for kind, color in (("read", READ_COLOR), ("write", WRITE_COLOR)):
        gate = np.stack([getattr(example.steps.interface, kind).gate for example in traced])
        entropy = np.stack([analysis[kind].entropy for analysis in analyses])
        for phase, steps, style in phases[first == 0 :]:
            for axes, values in ((gates, gate), (entropies, entropy)):
                lines = axes.plot(numbers, values[:, steps].mean(axis=1), style, color=color)
                lines[0].set_label(f"{kind}, {phase}")
    for name, norm in params.items():
        norms.plot(numbers, norm, ".-", label=name)
    gates.set(ylim=(-0.03, 1.03), title="mean gate")
    entropies.set(title="mean entropy of the weighting (bits)")
    norms.set(title="root mean square of the parameters")
    norms.legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    gates.legend(fontsize=8, frameon=False)
    lower.supxlabel("training steps", fontsize=10)
    figure.suptitle(title)
    return figure


def save_plots(
    trained: TrainedModel, sizes: Sequence[Size], directory: Path, seed: int
) -> list[Path]:
    """Plots fresh examples of each size, and the trace of an NTM at one of the sizes.

    Writes NAME_predictions.png and, for an NTM, NAME_memory_access.png, NAME_heads.png and
    NAME_memory.png, which show the largest size of at most 60 steps, or else the smallest size, and
    NAME_training.png for a run with traces of its training. NAME is that of the checkpoint, such as
    copy_ntm for a pretrained model, copy_ntm_step3000 for a run, and copy_ntm_step3000_seed6 for a
    member of an ensemble: only figures of the same checkpoint are overwritten.

    Args:
      trained: the model; of an ensemble, the first member is used.
      sizes: the sizes of the examples.
      directory: the directory of the files; created if it does not exist.
      seed: seed of the examples.

    Returns:
      The paths of the files.

    Raises:
      OSError: a file cannot be written, or a trace cannot be read.
      ValueError: a file among the traces of training is not a trace.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model, params, task = trained.model, trained.first_params, trained.task
    name, drawn, apply = _checkpoint_name(trained), {}, jax.jit(model.apply)
    suffix = f"{trained.name} ({name})"
    for size in sizes:
        key = functools.reduce(jax.random.fold_in, size, jax.random.key(seed))
        inputs, targets, mask = task.sample_size(key, 1, *size)
        rows = [targets, task.probabilities(apply({"params": params}, inputs))]
        if isinstance(task, Ngrams):
            rows.append(optimal_probabilities(inputs, task.context_length))
        drawn[describe_size(task, size)] = tuple(row[mask] for row in rows)
    figures = {"predictions": plot_predictions(drawn, f"Targets and outputs: {suffix}")}
    if isinstance(model, models.NTM):
        size = traced_size(task, sizes)
        example = trace_example(model, params, task, size, seed)
        suffix = f"{describe_size(task, size)}: {suffix}"
        arrays = example.inputs, example.outputs, example.steps
        first = example.first_scored_step
        figures["memory_access"] = plot_memory_access(*arrays, f"Memory access at {suffix}", first)
        figures["heads"] = plot_heads(example, f"Heads at {suffix}")
        figures["memory"] = plot_memory(example, f"Memory at {suffix}")
        examples, norms = load_training(trained)
        if examples:
            title = f"Training: {trained.name} ({name})"
            figures["training"] = plot_training(examples, norms, title)
    paths = {directory / f"{name}_{kind}.png": figure for kind, figure in figures.items()}
    for path, figure in paths.items():
        figure.savefig(path)
    return [*paths]


def head_weights(example: ExampleTrace) -> dict[str, np.ndarray]:
    """Returns the weightings [T, N] of write heads and then of read heads, by name.

    A name is "write head 0", or "write head" if it is the only one.
    """
    weights: dict[str, np.ndarray] = {}
    for kind in ("write", "read"):
        heads = np.moveaxis(np.asarray(getattr(example.steps, f"{kind}_weights"), float), 1, 0)
        names = [f"{kind} head {head}" for head in range(len(heads))]
        weights |= zip(names if len(heads) > 1 else [f"{kind} head"], heads, strict=True)
    return weights


def bit_errors(outputs: Any, targets: Any) -> np.ndarray:
    """Returns a boolean array, true where an output is NaN or on the other side of 0.5."""
    return ((outputs > 0.5) != (targets > 0.5)) | np.isnan(outputs)


def bit_colors(bits: np.ndarray) -> tuple[Any, Normalize]:
    """Returns the colors and the norm of bits, or of values in [-1, 1]."""
    return (SIGNED_BITS, Normalize(-1, 1)) if np.min(bits) < 0 else ("gray", Normalize(0, 1))


def color_limit(*vectors: Any) -> tuple[float, float]:
    """Returns the limit of the colors for values of the memory, and the largest absolute value.

    The limit is at most twice the 95th percentile of the absolute values, so that a few outliers
    do not make all others pale. Both are 1 if no value is finite or none differs from 0.
    """
    values = np.abs(np.concatenate([np.ravel(array) for array in vectors]))
    values = values[np.isfinite(values)]
    largest = float(values.max(initial=0)) or 1.0
    limit = 2 * float(np.percentile(values, 95)) if len(values) else 0.0
    return min(limit or largest, largest), largest


def used_slots(weights: np.ndarray) -> tuple[int, int]:
    """Returns the range of slots that weightings [T, H, N] use, with a margin of two slots.

    Slots form a ring: the range leaves out the longest unused stretch, and starts below 0 if the
    used slots continue across slot 0.
    """
    num_slots = weights.shape[-1]
    used = np.flatnonzero((weights > 0.01).any(axis=(0, 1)))
    if not len(used):
        return 0, num_slots
    gaps = np.diff(used, append=used[0] + num_slots)
    longest = np.argmax(gaps)
    first, last = int(used[(longest + 1) % len(used)]), int(used[longest])
    if gaps[longest] <= 5:  # the margins cover the gap
        return 0, num_slots
    if first > last:
        return first - num_slots - 2, last + 3
    return max(first - 2, 0), min(last + 3, num_slots)  # margins do not cross slot 0


def _checkpoint_name(trained: TrainedModel) -> str:
    """Returns a name for files: that of a pretrained model, or of a run with step and seed."""
    path = Path(trained.checkpoint)
    if trained.workdir is None:
        return path.stem
    seed = f"_seed{trained.seeds[0]}" if trained.config["num_seeds"] > 1 else ""
    return f"{trained.workdir.name}_step{path.name}{seed}"


def add_axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Adds axes whose upper left corner is at (x, y) from that of the figure, in inches."""
    total_width, total_height = figure.get_size_inches()
    bottom = 1 - (y + height) / total_height
    return figure.add_axes((x / total_width, bottom, width / total_width, height / total_height))


def imshow(
    axes: Axes, values: np.ndarray, colors: Any, norm: Normalize, row: int = 0, column: int = 0
) -> Any:
    """Draws [columns, rows], counted from `column` and `row`; NaN is hatched."""
    columns, rows = values.shape
    nearest = columns <= axes.bbox.width and rows <= axes.bbox.height
    axes.locator_params(steps=[1, 2, 4, 5, 10], integer=True, min_n_ticks=1)
    axes.patch.set(facecolor="white", edgecolor=MARK_COLOR, hatch="xxx")
    extent = (column - 0.5, column + columns - 0.5, row - 0.5, row + rows - 0.5)
    style: Any = {"interpolation": "nearest" if nearest else "auto", "aspect": "auto"}
    return axes.imshow(values.T, colors, norm, origin="lower", extent=extent, **style)


def _extend(values: np.ndarray, norm: Normalize) -> str:
    """Returns at which ends of the color bar values lie outside."""
    below, above = bool((values < norm.vmin).any()), bool((values > norm.vmax).any())
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def _cost(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Returns the cross-entropy in bits."""
    right = np.where(targets > 0.5, probabilities, 1 - probabilities)
    return float(-np.log2(np.maximum(right, 1e-30)).sum())


def _slot_label(start: int, stop: int, num_slots: int) -> str:
    if stop - start == num_slots:
        return f"slot (all {num_slots}, a ring)"
    ring = f"\nring: {num_slots - 1} is next to 0" if start < 0 else ""
    return f"slot ({start % num_slots} to {stop - 1} of {num_slots}){ring}"


def number_slots(axes: Axes, num_slots: int) -> None:
    """Numbers the slots of a vertical axis from 0 to N - 1, also where it crosses slot 0."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{round(value) % num_slots}")
    if axes.get_ylim()[0] < -1:
        axes.axhline(-0.5, color="0.6", linewidth=1, linestyle=":")


def _mark_first_scored_step(axes: Axes, step: int) -> None:
    axes.axvline(step - 0.5, color="red", linewidth=1, linestyle="--")
