import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.tasks.repeat_copy import RepeatCopy

# Two vectors of two bits, twice; the maximum is three vectors twice, 3 (1 + 2) + 2 steps. The mean
# of the repeats 1 and 2 is 3/2, their standard deviation 1/2.
EXAMPLE = {
    "inputs": [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]] + 8 * [[0, 0, 0, 0]],
    "targets": 3 * [[0, 0, 0]] + 2 * [[1, 0, 0], [1, 1, 0]] + [[0, 0, 1]] + 3 * [[0, 0, 0]],
    "mask": 3 * [False] + 5 * [True] + 3 * [False],
}


def test_worked_example_is_sampled(assert_sampled):
    assert_sampled(RepeatCopy(1, 3, 1, 2, num_bits=2), 3000, EXAMPLE)  # expected 31 times


def test_targets_repeat_inputs_then_marker(sample):
    task, seen = RepeatCopy(1, 4, 1, 5, num_bits=3), set()
    for inputs, targets, mask in zip(*sample(task, 500), strict=True):
        (end,) = np.flatnonzero(inputs[:, 3] == 1)
        repeats = round(float(inputs[end, 4]) * 2**0.5 + 3)  # standard deviation of 1..5: sqrt(2)
        answer = targets[mask]
        np.testing.assert_array_equal(answer[:-1, :3], np.tile(inputs[:end, :3], (repeats, 1)))
        np.testing.assert_array_equal(answer[:, 3], [0] * (end * repeats) + [1])
        assert np.flatnonzero(mask)[0] == end + 1
        assert not targets[~mask].any() and not inputs[end + 1 :].any()
        seen.add((int(end), repeats))
    assert seen == {(length, n) for length in range(1, 5) for n in range(1, 6)}


def test_normalized_repeats_mean_and_variance():
    normalized = RepeatCopy().normalize_repeats(jnp.arange(1, 11))
    assert np.mean(normalized) == pytest.approx(0, abs=1e-6)
    assert np.var(normalized) == pytest.approx(1, rel=1e-6)
    assert RepeatCopy(min_repeats=4, max_repeats=4).normalize_repeats(4) == 0


def test_repeats_beyond_training_range():
    task = RepeatCopy()
    batch = task.sample_size(jax.random.key(0), 2, 3, 20)
    assert batch.inputs.shape == (2, 3 * 21 + 2, 10)
    np.testing.assert_allclose(batch.inputs[:, 3, 9], (20 - 5.5) / (99 / 12) ** 0.5, rtol=1e-6)
    assert batch.mask.sum() == 2 * (3 * 20 + 1)
    assert (task.max_train_size, task.min_slots(3, 20)) == ((10, 10), 3)


@pytest.mark.parametrize("name", ["length", "repeats"])
def test_zero_raises(name):
    with pytest.raises(ValueError, match=f"task.min_{name}, task.max_{name}: expected 1 <="):
        RepeatCopy(**{f"min_{name}": 0})
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        RepeatCopy().sample_size(jax.random.key(0), 1, **{"length": 1, "repeats": 1, name: 0})
