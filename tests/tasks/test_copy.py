import functools

import jax
import numpy as np
import pytest

from ntm_jax.tasks.copy import Copy

A, B, C = [1, 0], [0, 1], [1, 1]  # three vectors of two bits
HALF = [0.5, 0.5]

# Length 3 where 4 is the longest: two padded steps at the end of each format.
DEFAULT = {
    "inputs": [[*A, 0], [*B, 0], [*C, 0], [0, 0, 1]] + 5 * [[0, 0, 0]],
    "targets": 4 * [[0, 0]] + [A, B, C] + 2 * [[0, 0]],
    "mask": 4 * [False] + 3 * [True] + 2 * [False],
}
KERAS = {
    "inputs": [[0, 0, 1, 0], [*A, 0, 0], [*B, 0, 0], [*C, 0, 0], [0, 0, 0, 1]]
    + 5 * [[*HALF, *HALF]],
    "targets": 5 * [HALF] + [A, B, C] + 2 * [HALF],
    "mask": 5 * [False] + 3 * [True] + 2 * [False],
}
EXAMPLES = {"default": DEFAULT, "ntm_keras": KERAS}

either_format = pytest.mark.parametrize("form", ["default", "ntm_keras"])


def _draw(form, bits, max_length):
    """The example that a format makes of these bits, [length, num_bits], one step at a time."""
    length, num_bits = bits.shape
    flags, begun, empty = (2, 1, 0.5) if form == "ntm_keras" else (1, 0, 0.0)
    steps = begun + max_length + 1 + max_length
    inputs = np.full((steps, num_bits + flags), empty)
    targets, mask = np.full((steps, num_bits), empty), np.zeros(steps, bool)
    if begun:
        inputs[0] = 0
        inputs[0, num_bits] = 1
    for place in range(length):
        inputs[begun + place] = 0
        inputs[begun + place, :num_bits] = bits[place]
        answer = begun + length + 1 + place
        targets[answer], mask[answer] = bits[place], True
    inputs[begun + length] = 0
    inputs[begun + length, -1] = 1
    return inputs, targets, mask


def _bits_shown(form, inputs, num_bits):
    """The bits before the (last) delimiter of one example, and so the length."""
    begun = 1 if form == "ntm_keras" else 0
    end = int(np.flatnonzero(inputs[:, -1] == 1)[0])
    return inputs[begun:end, :num_bits]


@functools.cache
def _samples(form, min_length=1, max_length=4, num_bits=2, count=256):
    task = Copy(min_length, max_length, num_bits, form)
    return _arrays(jax.jit(task.sample, static_argnums=1), jax.random.key(0), count)


def _arrays(sample, *arguments):
    return jax.tree.map(np.asarray, sample(*arguments))


@either_format
def test_the_written_out_example_is_among_the_samples_number_for_number(form):
    batch, example = _samples(form, count=3000), EXAMPLES[form]  # expected 12 times
    found = [
        index
        for index in range(len(batch.inputs))
        if np.array_equal(batch.inputs[index], np.float32(example["inputs"]))
    ]
    assert found
    for index in found:
        np.testing.assert_array_equal(batch.targets[index], example["targets"])
        np.testing.assert_array_equal(batch.mask[index], example["mask"])


@either_format
def test_this_files_drawing_agrees_with_the_written_out_example(form):
    drawn = _draw(form, np.array([A, B, C]), 4)
    for part, name in zip(drawn, ("inputs", "targets", "mask"), strict=True):
        np.testing.assert_array_equal(part, EXAMPLES[form][name])


@either_format
@pytest.mark.parametrize(("max_length", "num_bits"), [(4, 2), (3, 8), (1, 1)])
def test_every_sample_is_drawn_from_its_bits_as_documented(form, max_length, num_bits):
    batch = _samples(form, max_length=max_length, num_bits=num_bits, count=64)
    for inputs, targets, mask in zip(*batch, strict=True):
        drawn = _draw(form, _bits_shown(form, inputs, num_bits), max_length)
        for got, want in zip((inputs, targets, mask), drawn, strict=True):
            np.testing.assert_array_equal(got, want)


@either_format
def test_a_sequence_of_one_length_is_drawn_the_same_without_padding(form):
    sample = jax.jit(Copy(1, 4, 3, form).sample_at, static_argnums=(1, 2))
    batch = _arrays(sample, jax.random.key(1), 8, 6)
    for inputs, targets, mask in zip(*batch, strict=True):
        bits = _bits_shown(form, inputs, 3)
        assert len(bits) == 6
        for got, want in zip((inputs, targets, mask), _draw(form, bits, 6), strict=True):
            np.testing.assert_array_equal(got, want)


@either_format
def test_sizes_are_those_of_the_batch(form):
    task, batch = Copy(1, 4, 2, form), _samples(form)
    steps = 2 * 4 + 2 if form == "ntm_keras" else 2 * 4 + 1
    assert batch.inputs.shape == (256, steps, task.input_features)
    assert batch.targets.shape == (256, steps, task.output_features)
    assert batch.mask.shape == (256, steps)
    assert batch.inputs.dtype == batch.targets.dtype == np.float32
    assert batch.mask.dtype == bool


@either_format
def test_lengths_cover_both_ends_evenly(form):
    lengths = _samples(form, 2, 5, 1, 2000).mask.sum(1)
    counts = [int((lengths == length).sum()) for length in range(2, 6)]
    assert sum(counts) == 2000
    # 500 each with a standard deviation of 19.4; five of them are never seen by chance.
    assert all(abs(count - 500) < 97 for count in counts)


def test_one_length_alone_can_be_asked_for():
    batch = _samples("default", 3, 3)
    assert (batch.mask.sum(1) == 3).all()


def test_bits_are_fair_and_independent_of_place_and_channel():
    batch = _samples("default", 4, 4, 8, 2000)
    shares = batch.targets[:, 5:].mean(0)  # [4 places, 8 bits], deviation 0.011 each
    assert (np.abs(shares - 0.5) < 0.056).all()
    flat = batch.targets[:, 5:].reshape(2000, 32) - 0.5
    correlation = 4 * flat.T @ flat / 2000 - np.eye(32)
    assert (np.abs(correlation - np.diag(np.diag(correlation))) < 0.12).all()


@either_format
def test_a_key_decides_the_batch_and_another_key_gives_another(form):
    sample = jax.jit(Copy(1, 4, 8, form).sample, static_argnums=1)
    one, again, other = (_arrays(sample, jax.random.key(seed), 8) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.inputs, again.inputs)
    assert (one.inputs != other.inputs).any()
    assert len(np.unique(one.inputs.reshape(8, -1), axis=0)) == 8


def test_one_compiled_program_serves_every_length_and_key():
    compiled = []

    @jax.jit
    def sample(key):
        compiled.append(key)
        return Copy(1, 4, 2).sample(key, 4)

    lengths = {tuple(np.asarray(sample(jax.random.key(seed)).mask.sum(1))) for seed in range(5)}
    assert len(lengths) > 1
    assert len(compiled) == 1


def test_a_longer_maximum_keeps_the_channels():
    assert Copy(1, 4, 8).input_features == Copy(1, 400, 8).input_features == 9
    assert Copy(5, 20, 8, "ntm_keras").input_features == 10
    assert Copy(1, 4, 8).output_features == Copy(1, 4, 8, "ntm_keras").output_features == 8


def test_steps_off_the_answer_weigh_a_hundredth_in_ntm_keras_and_nothing_by_default():
    assert Copy().unscored_weight == 0.0
    assert Copy(format="ntm_keras").unscored_weight == 0.01


def test_a_machine_needs_a_slot_for_every_vector():
    assert Copy().min_slots(20) == 20


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"min_length": 0}, "min_length.*got 0"),
        ({"min_length": -1}, "min_length.*got -1"),
        ({"min_length": 5, "max_length": 4}, "max_length.*got 5 and 4"),
        ({"max_length": 0}, "max_length.*got 1 and 0"),
        ({"num_bits": 0}, "num_bits.*got 0"),
        ({"format": "keras"}, "format.*ntm_keras.*got 'keras'"),
    ],
)
def test_values_out_of_range_are_refused_by_the_name_of_the_field(values, named):
    with pytest.raises(ValueError, match=named):
        Copy(**values)


def test_the_task_is_a_value_that_cannot_change():
    assert Copy() == Copy()
    assert hash(Copy()) == hash(Copy())
    with pytest.raises(AttributeError):
        Copy().num_bits = 9


@either_format
def test_blank_vectors_are_of_training_alone_and_are_to_be_copied_too(form):
    task = Copy(5, 5, 8, form, blank_rate=0.25)
    inputs, targets, mask = _arrays(jax.jit(task.sample, static_argnums=1), jax.random.key(0), 4000)
    begun = 1 if form == "ntm_keras" else 0
    shown = inputs[:, begun : begun + 5, :8]
    np.testing.assert_array_equal(targets[mask].reshape(shown.shape), shown)
    blank = ~shown.any(axis=-1)
    # Five standard deviations of 4,000 draws, at each of the places.
    expected = 0.25 + 0.75 / 2**8
    np.testing.assert_allclose(blank.mean(axis=0), expected, atol=5 * (0.25 * 0.75 / 4000) ** 0.5)
    # Each on its own: two in a row are as frequent as that.
    np.testing.assert_allclose((blank[:, 0] & blank[:, 1]).mean(), expected**2, atol=0.02)
    inputs, _, _ = _arrays(
        jax.jit(task.sample_at, static_argnums=(1, 2)), jax.random.key(0), 4000, 5
    )
    assert (~inputs[:, begun : begun + 5, :8].any(axis=-1)).mean() < 0.01


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_share_of_blank_vectors_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="task.blank_rate: expected at least 0 and less than 1"):
        Copy(blank_rate=rate)
