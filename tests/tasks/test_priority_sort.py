import jax
import numpy as np
import pytest

from ntm_jax.tasks.priority_sort import PrioritySort


def samples(task, count):
    batch = jax.jit(task.sample, static_argnums=1)(jax.random.key(0), count)
    return jax.tree.map(np.asarray, batch)


def test_the_highest_come_out_in_order_with_their_rows_whole():
    for inputs, targets, mask in zip(*samples(PrioritySort(), 64), strict=True):
        shown, priorities = inputs[:20, :8], inputs[:20, 8]
        order = sorted(range(20), key=lambda place: -priorities[place])
        np.testing.assert_array_equal(targets[mask], [shown[place] for place in order[:16]])
        np.testing.assert_array_equal(mask, 21 * [False] + 16 * [True])
        assert not targets[~mask].any()
        np.testing.assert_array_equal(inputs[20], 9 * [0] + [1])
        assert not inputs[21:].any() and not inputs[:20, 9].any()


def test_the_written_out_example():
    # That of the docstring, with priorities by their order alone.
    task, found = PrioritySort(num_vectors=3, num_sorted=2, num_bits=2), 0
    for inputs, targets, mask in zip(*samples(task, 2000), strict=True):
        shown = inputs[:3, :2].tolist() == [[1, 0], [0, 1], [1, 1]]
        if shown and list(np.argsort(inputs[:3, 2])) == [1, 0, 2]:  # expected 5 times
            found += 1
            assert targets.tolist() == 4 * [[0, 0]] + [[1, 1], [1, 0]]
            assert mask.tolist() == 4 * [False] + 2 * [True]
    assert found


def test_priorities_are_uniform_from_minus_one_to_one():
    priorities = samples(PrioritySort(), 2000).inputs[:, :20, 8]
    counts, _ = np.histogram(priorities, bins=10, range=(-1, 1))
    assert counts.sum() == priorities.size
    np.testing.assert_allclose(counts / priorities.size, 0.1, atol=0.01)


def test_another_count_keeps_the_share_that_is_said():
    task = PrioritySort()
    batch = task.sample_at(jax.random.key(0), 2, 40)
    assert batch.inputs.shape == (2, 40 + 1 + 32, 10)
    assert batch.mask.sum() == 2 * 32
    assert (task.trained_size, task.min_slots(40)) == ((20,), 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_sorted=21), "expected 1 <= num_sorted <= num_vectors, got 21 and 20"),
        (dict(num_sorted=0), "expected 1 <= num_sorted <= num_vectors, got 0 and 20"),
        (dict(num_bits=0), "task.num_bits: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PrioritySort(**options)
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        PrioritySort().sample_at(jax.random.key(0), 1, 0)
