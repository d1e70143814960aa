"""Animated GIFs: one sequence step by step, and its memory access during training."""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from ntm_jax.evaluation import plots
from ntm_jax.evaluation.traces import ExampleTrace
from ntm_jax.runtime import files

__all__ = ["save_animation", "save_training_animation"]

_MAX_FRAMES, _END_PAUSE_MS = 500, 3000


def save_animation(example: ExampleTrace, path: Path, title: str, step_ms: int = 200) -> None:
    """Writes a looping GIF with a frame for each step of a sequence.

    Time and slots run to the right. The memory has a column for each slot that a head uses; bars
    show the weightings of the write heads above it and of the read heads below it. Outputs appear
    from the first scored step on, bit errors are outlined. The step before the first scored one
    lasts four times as long, the last step 3 seconds.

    Args:
      example: the trace, of at most 500 time steps.
      path: the file.
      title: title of the animation.
      step_ms: milliseconds per step, at least 10.

    Raises:
      ValueError: the example has too many steps.
      OSError: the file cannot be written.
    """
    if len(example.inputs) > _MAX_FRAMES:
        expected = f"expected at most {_MAX_FRAMES} time steps, got {len(example.inputs)}"
        raise ValueError(f"example: {expected}")
    weights, memory = plots.head_weights(example), np.asarray(example.steps.memory)
    start, stop = plots.used_slots(np.stack([*weights.values()], axis=1))
    num_slots, slots = memory.shape[1], np.arange(start, stop)
    num_writes = example.steps.write_weights.shape[1]
    names = [*weights]
    names.insert(num_writes, "memory")
    heights = {name: 1.6 if name == "memory" else 0.32 for name in names}
    xlabel = f"slot of {num_slots}; memory: red positive, blue negative"
    figure, panels, update = _draw(example, title, heights, xlabel)

    style: Any = {"fill": False, "edgecolor": "#0072B2", "linewidth": 2.5, "clip_on": False}
    cursors = [panels[name].axvspan(0, 1, **style) for name in ("inputs", "outputs")]
    limit, _ = plots.color_limit(example.steps.interface.add, example.steps.read_vectors)
    norm = Normalize(-limit, limit)
    image = plots.imshow(panels["memory"], memory[0, slots], "RdBu_r", norm, column=start)
    edges, bars = np.arange(start, stop + 1) - 0.5, {}
    for head, (name, array) in enumerate(weights.items()):
        color, *ylim = (plots.WRITE_COLOR, 0, 1) if head < num_writes else (plots.READ_COLOR, 1, 0)
        bars[name] = panels[name].stairs(array[0, slots], edges, fill=True, color=color)
        panels[name].set(xlim=edges[[0, -1]], ylim=ylim)
        panels[name].spines[:].set_visible(False)
    panels[names[-1]].locator_params(axis="x", steps=[1, 2, 4, 5, 10], integer=True)
    panels[names[-1]].xaxis.set_major_formatter(lambda slot, _: f"{round(slot) % num_slots}")

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
    if first := example.first_scored_step:
        durations[first - 1] *= 4
    _save(figure, frames(), durations, path)


def save_training_animation(
    examples: Mapping[int, ExampleTrace], path: Path, title: str, frame_ms: int = 300
) -> None:
    """Writes a looping GIF with a frame for each trace of one sequence during training.

    A frame has the inputs, the outputs at scored steps with bit errors outlined, and the weightings
    of all heads: time runs to the right, slots upwards. At most 500 traces are shown.

    Args:
      examples: traces of the same sequence, by completed training steps.
      path: the file.
      title: title of the animation.
      frame_ms: milliseconds per trace, at least 10.

    Raises:
      ValueError: there are no traces.
      OSError: the file cannot be written.
    """
    if not examples:
        raise ValueError("examples: expected at least one, got none")
    stride = -(-len(examples) // _MAX_FRAMES)
    examples = dict([*examples.items()][::-1][::stride][::-1])
    weights = [plots.head_weights(example) for example in examples.values()]
    example, *_ = examples.values()
    start, stop = plots.used_slots(np.stack([w for heads in weights for w in heads.values()], 1))
    num_slots, slots = example.steps.memory.shape[1], np.arange(start, stop)
    xlabel = f"time step; upwards: slots of {num_slots}; yellow: weight 1"
    figure, panels, update = _draw(example, title, dict.fromkeys(weights[0], 1.3), xlabel)
    images, norm = {}, Normalize(0, 1)
    for head, first in weights[0].items():
        images[head] = plots.imshow(panels[head], first[:, slots], "viridis", norm, start)
        panels[head].tick_params(left=True, labelleft=True)
        plots.number_slots(panels[head], num_slots)

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
    names, steps = ("inputs", "outputs"), np.arange(len(example.inputs))[:, None]
    bits = {name: max(0.09 * getattr(example, name).shape[1], 0.25) for name in names}
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
    top = 1 - 0.15 / figure.get_figheight()
    figure.text(0.02, top, title, fontsize=15, va="top")
    status = figure.text(0.98, top, "", fontsize=12, va="top", ha="right")
    inputs, targets = np.asarray(example.inputs, float), np.asarray(example.targets)
    input_image = plots.imshow(panels["inputs"], inputs, *plots.bit_colors(inputs))
    output_image = plots.imshow(panels["outputs"], targets, "gray", Normalize(0, 1))
    for name in names:
        panels[name].patch.set(facecolor="0.9", hatch="")  # bits that are not shown yet
    size = min(6, 0.8 * 7.2 * 72 / len(steps))  # of 7.2 inches
    (marks,) = panels["outputs"].plot([], [], "s", mfc="none", ms=size, mew=size / 4)
    marks.set_markeredgecolor(plots.MARK_COLOR)
    mask = np.asarray(example.mask, bool)[:, None]

    def update(example: ExampleTrace, step: int, heading: str) -> None:
        shown = steps <= step
        outputs = np.where(mask & shown, example.outputs, np.nan)
        input_image.set_data(np.where(shown, inputs, np.nan).T)
        output_image.set_data(outputs.T)
        errors = plots.bit_errors(example.outputs, targets) & mask & shown
        marks.set_data(*np.nonzero(errors))
        scored = bool((mask & shown).any())
        status.set_text(heading + (f": {errors.sum()} bit errors" if scored else ": input"))

    return figure, panels, update


def _save(figure: Figure, frames: Iterable[None], durations: np.ndarray, path: Path) -> None:
    """Writes the figure in the state of each frame, with the same colors in all of them."""
    canvas, images, buffer = FigureCanvasAgg(figure), [], io.BytesIO()
    for _ in frames:
        canvas.draw()
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    some = np.concatenate([np.asarray(image) for image in images[:: max(1, len(images) // 8)]])
    palette = Image.fromarray(some).quantize(256)
    colors = np.reshape(palette.getpalette() or [], (-1, 3))
    colors[(colors > 247).all(axis=1)] = 255  # quantization moves white to a color next to it
    palette.putpalette(colors.ravel().tolist())
    first, *rest = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    durations[-1] = _END_PAUSE_MS
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=[*durations], loop=0)
    files.write_file(path, buffer.getvalue())
