import jax
import numpy as np
import pytest

from ntm_jax.tasks.associative_recall import AssociativeRecall

# Items (10, 11) and (01, 11), of which the first is queried; the maximum is three items.
EXAMPLES = {
    "paper": {
        "inputs": [
            [0, 0, 1, 0],
            [1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 0, 1, 0],
            [0, 1, 0, 0],
            [1, 1, 0, 0],
            [0, 0, 0, 1],
            [1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 0, 0, 1],
        ]
        + 5 * [[0, 0, 0, 0]],
        "targets": 10 * [[0, 0]] + [[0, 1], [1, 1]] + 3 * [[0, 0]],
        "mask": 10 * [False] + 2 * [True] + 3 * [False],
    },
    "collier": {
        "inputs": [
            [1, 0, 0],
            [1, 1, 0],
            [0, 1, 0],
            [1, 1, 0],
            [0, 0, 1],
            [1, 0, 0],
            [1, 1, 0],
            [0, 0, 1],
        ]
        + 4 * [[0, 0, 0]],
        "targets": 8 * [[0, 0]] + [[0, 1], [1, 1]] + 2 * [[0, 0]],
        "mask": 8 * [False] + 2 * [True] + 2 * [False],
    },
}


@pytest.mark.parametrize("form", ["paper", "collier"])
def test_worked_example_is_sampled(assert_sampled, form):
    task = AssociativeRecall(2, 3, item_length=2, num_bits=2, format=form)
    assert_sampled(task, 4000, EXAMPLES[form])  # expected 8 times


def test_target_is_item_after_query(sample):
    task, seen = AssociativeRecall(), set()
    for inputs, targets, mask in zip(*sample(task, 400), strict=True):
        starts = np.flatnonzero(inputs[:, 6] == 1)
        items = [inputs[start + 1 : start + 4, :6] for start in starts]
        first, second = np.flatnonzero(inputs[:, 7] == 1)
        assert (first, second) == (4 * len(items), 4 * len(items) + 4)
        query = inputs[first + 1 : second, :6]
        (index,) = [i for i, item in enumerate(items[:-1]) if np.array_equal(item, query)]
        np.testing.assert_array_equal(targets[mask], items[index + 1])
        np.testing.assert_array_equal(np.flatnonzero(mask), second + 1 + np.arange(3))
        assert not inputs[second + 1 :].any() and not targets[~mask].any()
        seen.add((len(items), index))
    assert seen == {(n, index) for n in range(2, 7) for index in range(n - 1)}


def test_sample_size_has_no_padding():
    task = AssociativeRecall()
    batch = task.sample_size(jax.random.key(0), 3, 20)
    assert batch.inputs.shape == (3, 20 * 4 + 2 + 6, 8)
    assert np.asarray(batch.mask)[:, -3:].all()
    assert (task.max_train_size, task.min_slots(20)) == ((6,), 60)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(min_items=1), "task.min_items, task.max_items: expected 2 <= min_items"),
        (dict(max_items=1), "task.min_items, task.max_items: expected 2 <= min_items"),
        (dict(item_length=0), "task.item_length: expected at least 1, got 0"),
        (dict(format="mine"), r"task.format: expected one of \('paper', 'collier'\), got 'mine'"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        AssociativeRecall(**fields)


def test_single_item_raises():
    with pytest.raises(ValueError, match="items: expected at least 2, got 1"):
        AssociativeRecall().sample_size(jax.random.key(0), 1, 1)
