import jax
import numpy as np
import pytest

from ntm_jax.tasks.copy import Copy

A, B, C = [1, 0], [0, 1], [1, 1]  # three vectors of two bits
HALF = [0.5, 0.5]

# Length 3 where the maximum is 4: both formats end with two padded steps.
EXAMPLES = {
    "default": {
        "inputs": [[*A, 0], [*B, 0], [*C, 0], [0, 0, 1]] + 5 * [[0, 0, 0]],
        "targets": 4 * [[0, 0]] + [A, B, C] + 2 * [[0, 0]],
        "mask": 4 * [False] + 3 * [True] + 2 * [False],
    },
    "ntm_keras": {
        "inputs": [[0, 0, 1, 0], [*A, 0, 0], [*B, 0, 0], [*C, 0, 0], [0, 0, 0, 1]]
        + 5 * [[*HALF, *HALF]],
        "targets": 5 * [HALF] + [A, B, C] + 2 * [HALF],
        "mask": 5 * [False] + 3 * [True] + 2 * [False],
    },
}

both_formats = pytest.mark.parametrize("form", ["default", "ntm_keras"])


def reference_example(form, bits, max_length):
    """Builds the example of [length, num_bits] bits one step at a time."""
    length, num_bits = bits.shape
    num_flags, start, empty = (2, 1, 0.5) if form == "ntm_keras" else (1, 0, 0.0)
    num_steps = start + 2 * max_length + 1
    inputs = np.full((num_steps, num_bits + num_flags), empty)
    targets, mask = np.full((num_steps, num_bits), empty), np.zeros(num_steps, bool)
    if start:
        inputs[0] = 0
        inputs[0, num_bits] = 1
    for i in range(length):
        inputs[start + i] = 0
        inputs[start + i, :num_bits] = bits[i]
        answer = start + length + 1 + i
        targets[answer], mask[answer] = bits[i], True
    inputs[start + length] = 0
    inputs[start + length, -1] = 1
    return inputs, targets, mask


def input_bits(form, inputs, num_bits):
    """Returns the bits between the start and the last delimiter of one example."""
    start = 1 if form == "ntm_keras" else 0
    end = int(np.flatnonzero(inputs[:, -1] == 1)[0])
    return inputs[start:end, :num_bits]


def assert_matches_reference(form, batch, num_bits, max_length):
    for example in zip(*batch, strict=True):
        bits = input_bits(form, example[0], num_bits)
        for actual, expected in zip(
            example, reference_example(form, bits, max_length), strict=True
        ):
            np.testing.assert_array_equal(actual, expected)


@both_formats
def test_worked_example_is_sampled(assert_sampled, form):
    assert_sampled(Copy(1, 4, 2, form), 3000, EXAMPLES[form])  # expected 12 times


@both_formats
def test_reference_matches_worked_example(form):
    example = reference_example(form, np.array([A, B, C]), 4)
    for actual, name in zip(example, ("inputs", "targets", "mask"), strict=True):
        np.testing.assert_array_equal(actual, EXAMPLES[form][name])


@both_formats
@pytest.mark.parametrize(("max_length", "num_bits"), [(4, 2), (3, 8), (1, 1)])
def test_sample_matches_reference(sample, form, max_length, num_bits):
    batch = sample(Copy(1, max_length, num_bits, form), 64)
    assert_matches_reference(form, batch, num_bits, max_length)


@both_formats
def test_sample_size_matches_reference(form):
    sample_size = jax.jit(Copy(1, 4, 3, form).sample_size, static_argnums=(1, 2))
    batch = jax.tree.map(np.asarray, sample_size(jax.random.key(1), 8, 6))
    assert (batch.mask.sum(1) == 6).all()
    assert_matches_reference(form, batch, 3, 6)


@both_formats
def test_shapes_and_dtypes(sample, form):
    task = Copy(1, 4, 2, form)
    batch = sample(task, 256)
    num_steps = 2 * 4 + 2 if form == "ntm_keras" else 2 * 4 + 1
    assert batch.inputs.shape == (256, num_steps, task.input_features)
    assert batch.targets.shape == (256, num_steps, task.output_features)
    assert batch.mask.shape == (256, num_steps)
    assert batch.inputs.dtype == batch.targets.dtype == np.float32
    assert batch.mask.dtype == bool


@both_formats
def test_lengths_are_uniform(sample, form):
    lengths = sample(Copy(2, 5, 1, form), 2000).mask.sum(1)
    counts = [int((lengths == length).sum()) for length in range(2, 6)]
    assert sum(counts) == 2000
    # 500 each with a standard deviation of 19.4; the limit is five of them.
    assert all(abs(count - 500) < 97 for count in counts)


def test_bits_are_fair_and_independent(sample):
    batch = sample(Copy(4, 4, 8), 2000)
    assert (batch.mask.sum(1) == 4).all()
    frequencies = batch.targets[:, 5:].mean(0)  # [4 vectors, 8 bits], deviation 0.011 each
    assert (np.abs(frequencies - 0.5) < 0.056).all()
    flat = batch.targets[:, 5:].reshape(2000, 32) - 0.5
    correlation = 4 * flat.T @ flat / 2000 - np.eye(32)
    assert (np.abs(correlation - np.diag(np.diag(correlation))) < 0.12).all()


def test_all_lengths_share_one_compilation():
    traced = []

    @jax.jit
    def sample(key):
        traced.append(key)
        return Copy(1, 4, 2).sample(key, 4)

    lengths = {tuple(np.asarray(sample(jax.random.key(seed)).mask.sum(1))) for seed in range(5)}
    assert len(lengths) > 1
    assert len(traced) == 1


def test_features_do_not_depend_on_length():
    assert Copy(1, 4, 8).input_features == Copy(1, 400, 8).input_features == 9
    assert Copy(5, 20, 8, "ntm_keras").input_features == 10
    assert Copy(1, 4, 8).output_features == Copy(1, 4, 8, "ntm_keras").output_features == 8


def test_unmasked_weight():
    assert Copy().unmasked_weight == 0.0
    assert Copy(format="ntm_keras").unmasked_weight == 0.01


def test_min_slots():
    assert Copy().min_slots(20) == 20


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_length": 0}, "min_length.*got 0"),
        ({"min_length": -1}, "min_length.*got -1"),
        ({"min_length": 5, "max_length": 4}, "max_length.*got 5 and 4"),
        ({"max_length": 0}, "max_length.*got 1 and 0"),
        ({"num_bits": 0}, "num_bits.*got 0"),
        ({"format": "keras"}, "format.*ntm_keras.*got 'keras'"),
        *(
            ({"zero_vector_prob": p}, "zero_vector_prob: expected at least 0 and less than 1")
            for p in (-0.1, 1.0, float("nan"))
        ),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=f"task.*{message}"):
        Copy(**fields)


def test_tasks_are_immutable_values():
    assert Copy() == Copy()
    assert hash(Copy()) == hash(Copy())
    with pytest.raises(AttributeError):
        Copy().num_bits = 9


@both_formats
def test_zero_vectors_only_in_training(sample, form):
    task = Copy(5, 5, 8, form, zero_vector_prob=0.25)
    inputs, targets, mask = sample(task, 4000)
    start = 1 if form == "ntm_keras" else 0
    vectors = inputs[:, start : start + 5, :8]
    np.testing.assert_array_equal(targets[mask].reshape(vectors.shape), vectors)
    zero = ~vectors.any(axis=-1)
    expected = 0.25 + 0.75 / 2**8
    # At each position, within five standard deviations of 4,000 samples.
    np.testing.assert_allclose(zero.mean(axis=0), expected, atol=5 * (0.25 * 0.75 / 4000) ** 0.5)
    # Positions are independent.
    np.testing.assert_allclose((zero[:, 0] & zero[:, 1]).mean(), expected**2, atol=0.02)
    sample_size = jax.jit(task.sample_size, static_argnums=(1, 2))
    inputs = np.asarray(sample_size(jax.random.key(0), 4000, 5).inputs)
    assert (~inputs[:, start : start + 5, :8].any(axis=-1)).mean() < 0.01
