import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.tasks.repeat_copy import RepeatCopy

# Two vectors of two bits, twice, where three vectors twice is the most: 3 (1 + 2) + 2 steps. Of the
# repeats 1 and 2 the mean is 3/2 and the deviation 1/2.
INPUTS = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]] + 8 * [[0, 0, 0, 0]]
TARGETS = 3 * [[0, 0, 0]] + 2 * [[1, 0, 0], [1, 1, 0]] + [[0, 0, 1]] + 3 * [[0, 0, 0]]
MASK = 3 * [False] + 5 * [True] + 3 * [False]


def samples(task, count=3000):
    batch = jax.jit(task.sample, static_argnums=1)(jax.random.key(0), count)
    return jax.tree.map(np.asarray, batch)


def test_the_written_out_example_is_among_the_samples_number_for_number():
    batch = samples(RepeatCopy(1, 3, 1, 2, num_bits=2))  # expected 31 times
    found = np.flatnonzero((batch.inputs == np.float32(INPUTS)).all(axis=(1, 2)))
    assert len(found)
    for index in found:
        np.testing.assert_array_equal(batch.targets[index], TARGETS)
        np.testing.assert_array_equal(batch.mask[index], MASK)


def test_the_answer_is_the_same_sequence_again_and_again_and_then_the_end():
    task = RepeatCopy(1, 4, 1, 5, num_bits=3)
    batch, seen = samples(task, 500), set()
    for inputs, targets, mask in zip(*batch, strict=True):
        (end,) = np.flatnonzero(inputs[:, 3] == 1)
        repeats = round(float(inputs[end, 4]) * 2**0.5 + 3)  # deviation of 1..5: sqrt(2)
        answer = targets[mask]
        np.testing.assert_array_equal(answer[:-1, :3], np.tile(inputs[:end, :3], (repeats, 1)))
        np.testing.assert_array_equal(answer[:, 3], [0] * (end * repeats) + [1])
        assert np.flatnonzero(mask)[0] == end + 1
        assert not targets[~mask].any() and not inputs[end + 1 :].any()
        seen.add((int(end), repeats))
    assert seen == {(length, n) for length in range(1, 5) for n in range(1, 6)}


def test_the_number_has_mean_zero_and_variance_one_over_the_training_range():
    shown = RepeatCopy().shown_repeats(jnp.arange(1, 11))
    assert np.mean(shown) == pytest.approx(0, abs=1e-6)
    assert np.var(shown) == pytest.approx(1, rel=1e-6)
    assert RepeatCopy(min_repeats=4, max_repeats=4).shown_repeats(4) == 0


def test_more_repeats_than_trained_are_shown_by_the_same_rule():
    task = RepeatCopy()
    batch = task.sample_at(jax.random.key(0), 2, 3, 20)
    assert batch.inputs.shape == (2, 3 * 21 + 2, 10)
    np.testing.assert_allclose(batch.inputs[:, 3, 9], (20 - 5.5) / (99 / 12) ** 0.5, rtol=1e-6)
    assert batch.mask.sum() == 2 * (3 * 20 + 1)
    assert (task.trained_size, task.min_slots(3, 20)) == ((10, 10), 3)


@pytest.mark.parametrize("name", ["length", "repeats"])
def test_none_at_all_is_refused(name):
    with pytest.raises(ValueError, match=f"task.min_{name}, task.max_{name}: expected 1 <="):
        RepeatCopy(**{f"min_{name}": 0})
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        RepeatCopy().sample_at(jax.random.key(0), 1, **{"length": 1, "repeats": 1, name: 0})
