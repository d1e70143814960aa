"""Animated GIFs: a model that processes one sequence, and its memory access during training."""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ntm_jax.evaluation import plots
from ntm_jax.evaluation.traces import ExampleTrace
from ntm_jax.runtime import files

__all__ = ["save_animation", "save_training_animation"]

_END_PAUSE_MS = 3000


def save_animation(example: ExampleTrace, path: Path, title: str, step_ms: int = 200) -> None:
    """Writes a looping GIF with a frame for each step of a sequence.

    Time and slots run to the right. The memory has a column for each slot that a head uses; bars
    show the weightings of the write heads above it and of the read heads below it. Outputs appear
    from the first scored step on, bit errors are outlined. The last step before it is shown longer.

    Args:
      example: the trace.
      path: the file.
      title: title of the animation.
      step_ms: milliseconds per step.

    Raises:
      OSError: the file cannot be written.
    """
    weights, memory = plots.head_weights(example), np.asarray(example.steps.memory)
    start, stop = plots.used_slots(np.stack([*weights.values()], axis=1))
    num_slots, slots = memory.shape[1], np.arange(start, stop)
    writes = [head for head in weights if head.startswith("write")]
    reads = [head for head in weights if head not in writes]
    heights = dict.fromkeys(writes, 0.32) | {"memory": 1.6} | dict.fromkeys(reads, 0.32)
    figure, panels, update = _draw(
        example, title, heights, f"slot of {num_slots}; memory: red positive, blue negative"
    )

    cursors = [
        panels[name].axvspan(0, 1, fill=False, edgecolor="#0072B2", linewidth=2.5, clip_on=False)
        for name in ("inputs", "outputs")
    ]
    limit, _ = plots.color_limit(example.steps.interface.add, example.steps.read_vectors)
    image = _image(panels["memory"], memory[0, slots], "RdBu_r", (-limit, limit), start)
    edges, bars = np.arange(start, stop + 1) - 0.5, {}
    for head in weights:
        color, ylim = (plots.WRITE_COLOR, (0, 1)) if head in writes else (plots.READ_COLOR, (1, 0))
        bars[head] = panels[head].stairs(weights[head][0, slots], edges, fill=True, color=color)
        panels[head].set(xlim=edges[[0, -1]], ylim=ylim)
        panels[head].spines[:].set_visible(False)
    last = panels[[*heights][-1]]
    last.xaxis.set_major_formatter(lambda slot, _: f"{round(slot) % num_slots}")

    def frames() -> Iterable[None]:
        for step in range(len(memory)):
            update(example, step, f"step {step}")
            for cursor in cursors:
                cursor.set_x(step - 0.5)
            image.set_data(memory[step, slots].T)
            for head, bar in bars.items():
                bar.set_data(weights[head][step, slots])
            yield

    durations = np.full(len(memory), step_ms)
    durations[max(int(np.argmax(example.mask)) - 1, 0)] *= 4
    _save(figure, frames(), durations, path)


def save_training_animation(
    examples: Mapping[int, ExampleTrace], path: Path, title: str, frame_ms: int = 300
) -> None:
    """Writes a looping GIF with a frame for each trace of one sequence during training.

    A frame has the inputs, the outputs at scored steps with bit errors outlined, and the weightings
    of all heads: time runs to the right, slots upwards.

    Args:
      examples: traces of the same sequence, by completed training steps.
      path: the file.
      title: title of the animation.
      frame_ms: milliseconds per trace.

    Raises:
      OSError: the file cannot be written.
    """
    weights = [plots.head_weights(example) for example in examples.values()]
    example, *_ = examples.values()
    start, stop = plots.used_slots(np.stack([w for heads in weights for w in heads.values()], 1))
    num_slots, slots = example.steps.memory.shape[1], np.arange(start, stop)
    xlabel = f"time step; upwards: slots of {num_slots}; yellow: weight 1"
    figure, panels, update = _draw(example, title, dict.fromkeys(weights[0], 1.3), xlabel)
    images = {}
    for head, first in weights[0].items():
        images[head] = _image(panels[head], first[:, slots], "viridis", (0, 1), 0, start)
        panels[head].tick_params(left=True, labelleft=True)
        panels[head].yaxis.set_major_formatter(lambda slot, _: f"{round(slot) % num_slots}")

    def frames() -> Iterable[None]:
        for (step, example), heads in zip(examples.items(), weights, strict=True):
            update(example, len(example.inputs), f"{step:,} training steps")
            for head, image in images.items():
                image.set_data(heads[head][:, slots].T)
            yield

    _save(figure, frames(), np.full(len(weights), frame_ms), path)


def _draw(
    example: ExampleTrace, title: str, heights: dict[str, float], xlabel: str
) -> tuple[Figure, dict[str, Axes], Callable[[ExampleTrace, int, str], None]]:
    """Draws inputs and outputs, and empty panels below them.

    Args:
      example: the trace.
      title: title of the figure.
      heights: the heights of the panels in inches, by name.
      xlabel: label of the last panel.

    Returns:
      The figure, all panels by name, and a function that shows the bits of an example until a step,
      below a heading.
    """
    num_steps, cell = len(example.inputs), 7.2 * 72 / len(example.inputs)  # points per step
    bits = {
        name: max(0.09 * array.shape[1], 0.25)
        for name, array in {"inputs": example.inputs, "outputs": example.outputs}.items()
    }
    figure = Figure((8.8, 1.75 + sum([*bits.values(), *heights.values()]) + 0.08 * len(heights)))
    panels, y = {}, 0.6
    for name, height in (bits | heights).items():
        panels[name] = last = axes = plots.add_axes(figure, 1.45, y, 7.2, height)
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=12, labelpad=8)
        axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
        y += height + (0.6 if name == "outputs" else 0.08)
    for axes, label in ((panels["outputs"], "time step"), (last, xlabel)):
        axes.tick_params(bottom=True, labelbottom=True)
        axes.set_xlabel(label)
    figure.text(0.02, 1 - 0.15 / figure.get_figheight(), title, fontsize=15, va="top")
    status = figure.text(
        0.98, 1 - 0.18 / figure.get_figheight(), "", fontsize=12, va="top", ha="right"
    )
    inputs, targets = np.asarray(example.inputs, float), np.asarray(example.targets)
    signed = bool(inputs.min() < 0)
    input_image = _image(
        panels["inputs"], inputs, plots.SIGNED_BITS if signed else "gray", (-signed, 1)
    )
    output_image = _image(panels["outputs"], targets, "gray", (0, 1))
    size = min(6, 0.8 * cell)
    (marks,) = panels["outputs"].plot([], [], "s", mfc="none", ms=size, mew=size / 4)
    marks.set_markeredgecolor(plots.MARK_COLOR)
    mask = np.asarray(example.mask, bool)[:, None]

    def update(example: ExampleTrace, step: int, heading: str) -> None:
        shown = np.arange(num_steps)[:, None] <= step
        outputs = np.where(mask & shown, example.outputs, np.nan)
        input_image.set_data(np.where(shown, inputs, np.nan).T)
        output_image.set_data(outputs.T)
        errors = plots.bit_errors(example.outputs, targets) & mask & shown
        marks.set_data(*np.nonzero(errors))
        scored = bool((mask & shown).any())
        status.set_text(heading + (f": {errors.sum()} bit errors" if scored else ": input"))

    return figure, panels, update


def _image(
    axes: Axes,
    values: np.ndarray,
    colors: Any,
    limits: tuple[float, float],
    first_column: int = 0,
    first_row: int = 0,
) -> Any:
    """Draws values, [columns, rows], with row 0 at the bottom; NaN is pale."""
    columns, rows = values.shape
    x, y = first_column - 0.5, first_row - 0.5
    axes.patch.set_facecolor("0.9")
    extent = (x, x + columns, y, y + rows)
    style: Any = {"vmin": limits[0], "vmax": limits[1], "origin": "lower", "aspect": "auto"}
    return axes.imshow(values.T, colors, interpolation="nearest", extent=extent, **style)


def _save(figure: Figure, frames: Iterable[None], durations: np.ndarray, path: Path) -> None:
    """Writes the figure in the state of each frame, with the same colors in all of them."""
    canvas, images = FigureCanvasAgg(figure), []
    for _ in frames:
        canvas.draw()
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    some = np.concatenate([np.asarray(image) for image in images[:: max(1, len(images) // 8)]])
    palette = Image.fromarray(some).quantize(256)
    colors = np.reshape(palette.getpalette() or [], (-1, 3))
    colors[(colors > 247).all(axis=1)] = 255  # the next color is taken, and white is not among them
    palette.putpalette(colors.ravel().tolist())
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations[-1] = _END_PAUSE_MS
    buffer, options = (
        io.BytesIO(),
        {"append_images": images[1:], "duration": [*durations], "loop": 0},
    )
    images[0].save(buffer, "GIF", save_all=True, **options)
    files.write_file(path, buffer.getvalue())
