import jax
import numpy as np
import pytest

from ntm_jax.tasks.priority_sort import PrioritySort


@pytest.mark.parametrize("num_sorted", [1, 10, 16, 20])
def test_targets_are_sorted_by_priority(sample, num_sorted):
    seen = set()
    task = PrioritySort(num_sorted=num_sorted)
    for inputs, targets, mask in zip(*sample(task, 400), strict=True):
        (end,) = np.flatnonzero(inputs[:, 9] == 1)
        vectors, priorities = inputs[:end, :8], inputs[:end, 8]
        order = sorted(range(end), key=lambda i: -priorities[i])
        length = max(1, round(end * num_sorted / 20))
        np.testing.assert_array_equal(targets[mask], [vectors[i] for i in order[:length]])
        assert np.flatnonzero(mask).tolist() == [*range(end + 1, end + 1 + length)]
        assert len(mask) == 21 + num_sorted
        assert not targets[~mask].any()
        assert not inputs[end, :9].any() and not inputs[end + 1 :].any()
        seen.add(int(end))
    assert seen == set(range(2, 21))


def test_worked_example(sample):
    # The example of the module docstring, for any priorities in that order.
    task, matches = PrioritySort(3, max_vectors=3, num_sorted=2, num_bits=2), 0
    for inputs, targets, mask in zip(*sample(task, 2000), strict=True):
        same_vectors = inputs[:3, :2].tolist() == [[1, 0], [0, 1], [1, 1]]
        if same_vectors and list(np.argsort(inputs[:3, 2])) == [1, 0, 2]:  # expected 5 times
            matches += 1
            assert targets.tolist() == 4 * [[0, 0]] + [[1, 1], [1, 0]]
            assert mask.tolist() == 4 * [False] + 2 * [True]
    assert matches


def test_priorities_are_uniform(sample):
    priorities = sample(PrioritySort(min_vectors=20), 2000).inputs[:, :20, 8]
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
        (dict(num_sorted=21), "expected 1 <= num_sorted <= max_vectors, got 21 and 20"),
        (dict(num_sorted=0), "expected 1 <= num_sorted <= max_vectors, got 0 and 20"),
        (dict(min_vectors=21), "expected 1 <= min_vectors <= max_vectors, got 21 and 20"),
        (dict(min_vectors=0), "expected 1 <= min_vectors <= max_vectors, got 0 and 20"),
        (dict(num_bits=0), "task.num_bits: expected at least 1, got 0"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        PrioritySort(**fields)


def test_zero_count_raises():
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        PrioritySort().sample_size(jax.random.key(0), 1, 0)
