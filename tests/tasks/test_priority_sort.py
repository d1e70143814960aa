import jax
import numpy as np
import pytest

from ntm_jax.tasks.priority_sort import PrioritySort


def test_targets_are_sorted_by_priority(sample):
    for inputs, targets, mask in zip(*sample(PrioritySort(), 64), strict=True):
        vectors, priorities = inputs[:20, :8], inputs[:20, 8]
        order = sorted(range(20), key=lambda i: -priorities[i])
        np.testing.assert_array_equal(targets[mask], [vectors[i] for i in order[:16]])
        np.testing.assert_array_equal(mask, 21 * [False] + 16 * [True])
        assert not targets[~mask].any()
        np.testing.assert_array_equal(inputs[20], 9 * [0] + [1])
        assert not inputs[21:].any() and not inputs[:20, 9].any()


def test_worked_example(sample):
    # The example of the module docstring, for any priorities in that order.
    task, matches = PrioritySort(num_vectors=3, num_sorted=2, num_bits=2), 0
    for inputs, targets, mask in zip(*sample(task, 2000), strict=True):
        same_vectors = inputs[:3, :2].tolist() == [[1, 0], [0, 1], [1, 1]]
        if same_vectors and list(np.argsort(inputs[:3, 2])) == [1, 0, 2]:  # expected 5 times
            matches += 1
            assert targets.tolist() == 4 * [[0, 0]] + [[1, 1], [1, 0]]
            assert mask.tolist() == 4 * [False] + 2 * [True]
    assert matches


def test_priorities_are_uniform(sample):
    priorities = sample(PrioritySort(), 2000).inputs[:, :20, 8]
    counts, _ = np.histogram(priorities, bins=10, range=(-1, 1))
    assert counts.sum() == priorities.size
    np.testing.assert_allclose(counts / priorities.size, 0.1, atol=0.01)


def test_sample_size_keeps_sorted_fraction():
    task = PrioritySort()
    batch = task.sample_size(jax.random.key(0), 2, 40)
    assert batch.inputs.shape == (2, 40 + 1 + 32, 10)
    assert batch.mask.sum() == 2 * 32
    assert (task.max_train_size, task.min_slots(40)) == ((20,), 40)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(num_sorted=21), "expected 1 <= num_sorted <= num_vectors, got 21 and 20"),
        (dict(num_sorted=0), "expected 1 <= num_sorted <= num_vectors, got 0 and 20"),
        (dict(num_bits=0), "task.num_bits: expected at least 1, got 0"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        PrioritySort(**fields)


def test_zero_count_raises():
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        PrioritySort().sample_size(jax.random.key(0), 1, 0)
