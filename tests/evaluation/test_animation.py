import numpy as np
import pytest
from PIL import Image

from ntm_jax.cell import StepTrace
from ntm_jax.evaluation import animation, plots
from ntm_jax.evaluation.traces import ExampleTrace
from ntm_jax.heads import Interface


def make_example(steps=5, slots=8, first_scored_step=0, width=3):
    """An example of random bits and memories; both read heads and the write head stay on slot 0."""
    rng = np.random.default_rng(0)
    weights = np.zeros((steps, 2, slots), np.float32)
    weights[..., 0] = 1.0
    trace = StepTrace(
        interface=Interface(None, None, None, rng.normal(size=(steps, 1, width))),
        memory=rng.normal(size=(steps, slots, width)),
        read_weights=weights,
        write_weights=weights[:, :1].copy(),
        read_vectors=rng.normal(size=(steps, 2, width)),
    )
    bits = rng.integers(0, 2, (steps, 3)).astype(np.float32)
    mask = np.arange(steps) >= first_scored_step
    return ExampleTrace(bits, bits[:, :2], mask, bits[:, :2], trace, None)


def save(tmp_path, example, **options):
    """Returns the frames and their durations in milliseconds."""
    path = tmp_path / "animation.gif"
    animation.save_animation(example, path, "NTM", **options)
    frames, durations = [], []
    with Image.open(path) as image:
        assert image.format == "GIF" and image.info["loop"] == 0  # loops without end
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
    return frames, durations


def count(frame, color):
    """Returns the number of pixels near a color; a GIF has 256 of them."""
    rgb = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    return (np.abs(frame.astype(int) - rgb) < 10).all(axis=-1).sum()


def test_every_step_has_a_frame(tmp_path):
    frames, durations = save(tmp_path, make_example(5, first_scored_step=3), step_ms=100)
    assert len(frames) == 5
    assert durations[0] == durations[1] == durations[3] == 100
    assert durations[2] > 100  # the last step before the answer
    assert durations[4] >= 2000


def test_animation_is_small(tmp_path):
    frames, _ = save(tmp_path, make_example(21, slots=44, first_scored_step=11, width=20))
    assert frames[0].shape[1] <= 900
    assert (tmp_path / "animation.gif").stat().st_size < 1.5e6


def test_bars_are_proportional_to_weights(tmp_path):
    example = make_example(2)
    read, write = np.zeros((2, 2, 8)), np.zeros((2, 1, 8))
    read[0, 0, 3], read[1, 0, 3] = 1.0, 0.5
    write[0, 0, 1] = write[1, 0, 1:3] = 0.5
    steps = example.steps._replace(read_weights=read, write_weights=write)
    first, second = save(tmp_path, example._replace(steps=steps))[0]
    half = count(second, plots.READ_COLOR)
    assert count(first, plots.READ_COLOR) == pytest.approx(2 * half, rel=0.1)
    assert count(second, plots.WRITE_COLOR) == 2 * count(first, plots.WRITE_COLOR) > 0


def test_memory_is_that_after_the_step(tmp_path):
    example = make_example(3)
    memory = np.zeros((3, 8, 3))
    memory[1:, 1] = 100.0
    frames, _ = save(tmp_path, example._replace(steps=example.steps._replace(memory=memory)))
    dark_red = [count(frame, "#67001f") for frame in frames]
    assert dark_red[0] == 0 and dark_red[1] == dark_red[2] > 0


def test_outputs_appear_once_they_are_scored(tmp_path):
    example = make_example(4, first_scored_step=2)
    zeros = np.zeros_like(example.outputs)
    inputs = np.ones_like(example.inputs)
    frames, _ = save(tmp_path, example._replace(inputs=inputs, outputs=zeros, targets=zeros))
    black = [count(frame[98:110, 150:860], "#000000") for frame in frames]  # the outputs
    assert black[0] == black[1] == 0
    assert black[3] > 1.5 * black[2] > 0  # less the outline of the cursor


def test_bit_errors_are_outlined(tmp_path):
    example = make_example(3)
    outputs = example.outputs.copy()
    outputs[1, 0] = 1 - outputs[1, 0]
    frames, _ = save(tmp_path, example._replace(outputs=outputs))
    marked = [count(frame, "#d55e00") for frame in frames]
    assert marked[0] == 0 and marked[1] > 0 and marked[2] > 0


def test_background_is_white(tmp_path):
    for frame in save(tmp_path, make_example(2))[0]:
        assert (frame[:3] == 255).all()


def test_negative_inputs_are_blue(tmp_path):
    example = make_example(2)
    inputs = example.inputs.copy()
    inputs[0] = -1.0
    frames, _ = save(tmp_path, example._replace(inputs=inputs))
    assert count(frames[1], "#56b4e9") > 0


def test_heads_at_the_last_slots_are_shown(tmp_path):
    example = make_example(3, slots=32)
    weights = np.roll(example.steps.read_weights, -1, axis=-1)  # on slot 31
    steps = example.steps._replace(read_weights=weights, write_weights=weights[:, :1])
    example = example._replace(steps=steps)
    assert plots.used_slots(weights) == (29, 32)
    assert count(save(tmp_path, example)[0][0], plots.READ_COLOR) > 0
    assert len(save_training(tmp_path, {5: example})) == 1


def test_too_many_steps_raise(tmp_path):
    with pytest.raises(ValueError, match="expected at most 500 time steps, got 501"):
        save(tmp_path, make_example(501))


def test_no_traces_raise(tmp_path):
    with pytest.raises(ValueError, match="examples: expected at least one, got none"):
        save_training(tmp_path, {})


def test_unwritable_path_raises(tmp_path):
    with pytest.raises(OSError):
        save(tmp_path / "none", make_example(2))


def save_training(tmp_path, examples):
    path = tmp_path / "training.gif"
    animation.save_training_animation(examples, path, "NTM")
    with Image.open(path) as image:
        frames = []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
    return frames


def test_every_trace_has_a_frame(tmp_path):
    example = make_example(4, first_scored_step=2)
    weights = np.roll(example.steps.write_weights, 1, axis=-1)
    other = example._replace(steps=example.steps._replace(write_weights=weights))
    frames = save_training(tmp_path, {500: example, 1000: other, 1500: example})
    assert len(frames) == 3
    first, second, third = (frame[170:] for frame in frames)  # the weightings
    assert (first != second).any()
    np.testing.assert_array_equal(first, third)


def test_training_frames_mark_bit_errors(tmp_path):
    example = make_example(4, first_scored_step=2)
    outputs = np.where(np.arange(4)[:, None] == 1, 1 - example.outputs, example.outputs)
    unscored = example._replace(outputs=outputs)
    outputs = np.where(np.arange(4)[:, None] == 3, 1 - example.outputs, example.outputs)
    wrong = example._replace(outputs=outputs)
    frames = save_training(tmp_path, {1: unscored, 2: wrong})
    assert [count(frame, "#d55e00") > 0 for frame in frames] == [False, True]
