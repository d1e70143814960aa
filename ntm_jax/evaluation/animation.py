"""An animated GIF of a model that processes one sequence, a frame for each step.

Pillow draws whole pixels, so that cells and text stay sharp; the colors are those of the figures.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba_array
from PIL import Image, ImageDraw, ImageFont

from ntm_jax.evaluation import plots
from ntm_jax.evaluation.traces import ExampleTrace

__all__ = ["save_animation"]

_WIDTH, _LEFT, _PANEL_WIDTH = 880, 142, 722  # pixels
_STRIP_HEIGHT, _GAP = 34, 12
_TEXT, _PALE, _BORDER, _CURSOR, _MARK = "#222222", "#e4e4e4", "#999999", "#0072b2", "#d55e00"
_LEVELS = 63  # of each color map; with the colors of text they fit the 256 colors of a GIF
_BOUNDARY_PAUSE, _END_PAUSE_MS = 4, 3000  # in steps; in milliseconds


def save_animation(example: ExampleTrace, path: Path, title: str, step_ms: int = 200) -> None:
    """Writes a looping GIF: inputs and outputs with a cursor, the memory, and the weightings.

    Time and slots run to the right. The memory has a column for each slot that a head uses; bars
    show the weightings of the write heads above it and of the read heads below it. Outputs appear
    from the first scored step on, bit errors are outlined. The last step before it is shown longer.

    Args:
      example: the trace; at most 722 steps and 722 used slots.
      path: the file.
      title: title of the animation, in at most about 45 characters.
      step_ms: milliseconds per step.

    Raises:
      ValueError: the example has too many steps or used slots.
      OSError: the file cannot be written.
    """
    frames = _Frames(example, title)
    num_steps = len(example.inputs)
    durations = np.full(num_steps, step_ms)
    durations[max(frames.first - 1, 0)] *= _BOUNDARY_PAUSE
    durations[-1] = _END_PAUSE_MS
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    images = [
        frames.draw(step).quantize(palette=palette, dither=Image.Dither.NONE)
        for step in range(num_steps)
    ]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[*durations], loop=0)


class _Frames:
    """The frames of an example."""

    def __init__(self, example: ExampleTrace, title: str) -> None:
        """Computes the layout and the colors."""
        inputs, targets, mask, outputs = (np.asarray(array) for array in example[:4])
        write, read = (
            np.asarray(getattr(example.steps, f"{kind}_weights")) for kind in ("write", "read")
        )
        self.start, stop = plots.used_slots(np.concatenate([write, read], axis=1))
        self.num_steps, self.num_slots, self.title = len(inputs), read.shape[-1], title
        longest = max(self.num_steps, stop - self.start)
        if longest > _PANEL_WIDTH:
            text = f"at most {_PANEL_WIDTH} steps and used slots, got {longest}"
            raise ValueError(f"example: expected {text}")

        shown = range(self.start, stop)
        self.write, self.read = (np.take(w, shown, axis=-1, mode="wrap") for w in (write, read))
        limit, _ = plots.color_limit(example.steps.interface.add, example.steps.read_vectors)
        memory = np.take(np.asarray(example.steps.memory), shown, axis=1, mode="wrap")
        self.memory = _colors(memory, "RdBu_r", -limit, limit)
        signed = bool(inputs.min() < 0)
        self.inputs = _colors(inputs, plots.SIGNED_BITS if signed else "gray", -signed, 1)
        self.outputs = _colors(outputs, "gray", 0, 1)
        self.mask, self.first = mask, int(np.argmax(mask))
        self.errors = (((outputs > 0.5) != (targets > 0.5)) | np.isnan(outputs)) & mask[:, None]

    def draw(self, step: int) -> Image.Image:
        """Draws the state after a step."""
        num_heads = len(self.write[step]) + len(self.read[step])
        image = Image.new("RGB", (_WIDTH, 700 + num_heads * _STRIP_HEIGHT), "white")
        draw = ImageDraw.Draw(image)
        scored = step >= self.first
        self._text(draw, 16, 14, self.title, 24)
        part = "answer" if scored else "input"
        status = f"step {step + 1} of {self.num_steps}: {part}"
        self._text(draw, _LEFT + _PANEL_WIDTH, 18, status, 20, anchor="ra")

        y, top = 74, 68
        future = np.arange(self.num_steps) > step
        inputs = np.where(future[:, None, None], 0.15 * self.inputs + 0.85 * 228, self.inputs)
        y = self._panel(image, y, "inputs", inputs, 9) + _GAP
        outputs = np.where((future | ~self.mask)[:, None, None], 228, self.outputs)
        errors, output_y = self.errors & ~future[:, None], y
        label = f"outputs\n{errors.sum()} bit errors" if scored else "outputs"
        y = self._panel(image, y, label, outputs, 9)
        cell, height = _cell_width(self.num_steps), (y - output_y) / errors.shape[1]
        for time, bit in np.argwhere(errors):
            x, low = _LEFT + time * cell, y - bit * height
            draw.rectangle((x, low - height, x + cell - 1, low - 1), outline=_MARK, width=2)
        x = _LEFT + step * cell
        draw.rectangle((x - 3, top, x + cell + 2, y + 5), outline=_CURSOR, width=3)
        self._ticks(draw, y + 8, "step", self.num_steps, 0)

        y += 44
        y = self._strips(draw, y, "write head", self.write[step], plots.WRITE_COLOR)
        y = self._panel(image, y, "memory", self.memory[step], 8)
        y = self._strips(draw, y, "read head", self.read[step], plots.READ_COLOR)
        self._ticks(draw, y + 2, "slot", self.memory.shape[1], self.start)
        text = "Bars: weightings of the heads.  Memory: red positive, blue negative."
        self._text(draw, _LEFT, y + 28, text, 17)
        return image.crop((0, 0, _WIDTH, y + 58))

    def _panel(self, image: Image.Image, y: int, label: str, colors: np.ndarray, size: int) -> int:
        """Draws colors, [columns, rows, 3], with row 0 at the bottom; returns the lower edge."""
        columns, rows, _ = colors.shape
        size = max(1, min(max(size, 40 // rows), 170 // rows))
        pixels = colors.astype(np.uint8).transpose(1, 0, 2)[::-1]
        pixels = pixels.repeat(size, axis=0).repeat(_cell_width(columns), axis=1)
        draw, height, width = ImageDraw.Draw(image), *pixels.shape[:2]
        draw.rectangle((_LEFT - 1, y - 1, _LEFT + width, y + height), outline=_BORDER)
        image.paste(Image.fromarray(pixels), (_LEFT, y))
        self._text(draw, 16, y + height // 2, label, 18, anchor="lm")
        return y + height

    def _strips(self, draw: Any, y: int, label: str, weights: np.ndarray, color: str) -> int:
        """Draws a bar for the weight of each slot, a strip for each head; returns the lower edge.

        The bars of write heads stand on the memory below, those of read heads hang from it.
        """
        for head, weighting in enumerate(weights):
            name = label if len(weights) == 1 else f"{label} {head}"
            self._text(draw, 16, y + _STRIP_HEIGHT // 2, name, 18, anchor="lm")
            cell, heights = _cell_width(len(weighting)), weighting * (_STRIP_HEIGHT - 4)
            for slot in np.flatnonzero(heights >= 0.5):
                x, height = _LEFT + slot * cell, round(heights[slot])
                low = y + _STRIP_HEIGHT - 2 if color == plots.WRITE_COLOR else y + 1 + height
                draw.rectangle((x, low - height, x + cell - 1, low), fill=color)
            y += _STRIP_HEIGHT
        return y

    def _ticks(self, draw: Any, y: int, label: str, count: int, first: int) -> None:
        """Numbers the columns from `first`; slots modulo their number, since they form a ring."""
        self._text(draw, 16, y, label, 16)
        cell = _cell_width(count)
        distance = 10 if cell >= 4 else 50
        for number in range(-(-first // distance) * distance, first + count, distance):
            x = _LEFT + (number - first) * cell + cell // 2
            text = str(number % self.num_slots if label == "slot" else number)
            self._text(draw, x, y, text, 16, anchor="ma")

    def _text(self, draw: Any, x: int, y: int, text: str, size: int, anchor: str = "la") -> None:
        font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
        draw.text((x, y), text, _TEXT, ImageFont.truetype(font, size), anchor=anchor)


def _cell_width(count: int) -> int:
    """Returns the width of a column, of `count` columns."""
    return min(_PANEL_WIDTH // count, 36)


def _colors(values: np.ndarray, color_map: Any, low: float, high: float) -> np.ndarray:
    """Returns the colors of values, [..., 3]."""
    levels = matplotlib.colormaps.get_cmap(color_map).resampled(_LEVELS)
    return levels((values - low) / (high - low), bytes=True)[..., :3]


def _palette() -> list[int]:
    """Returns the red, green and blue of all colors of a frame."""
    levels = np.linspace(0, 1, _LEVELS)
    named = (_TEXT, _PALE, _BORDER, _CURSOR, _MARK, plots.READ_COLOR, plots.WRITE_COLOR, "white")
    colors = [_colors(levels, name, 0, 1) for name in ("RdBu_r", "gray", plots.SIGNED_BITS)]
    colors.append(np.round(255 * to_rgba_array(named)[:, :3]).astype(np.uint8))
    palette = np.unique(np.concatenate(colors), axis=0)
    # Pillow compares colors by their upper six bits: only white is near white.
    near_white = (palette > 247).all(axis=1) & (palette < 255).any(axis=1)
    return palette[~near_white].ravel().tolist()
