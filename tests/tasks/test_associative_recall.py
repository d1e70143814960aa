import jax
import numpy as np
import pytest

from ntm_jax.tasks.associative_recall import AssociativeRecall

# Items (10, 11) and (01, 11), asked for the first, where three items are the most.
PAPER = {
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
}
COLLIER = {
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
}


def samples(task, count):
    batch = jax.jit(task.sample, static_argnums=1)(jax.random.key(0), count)
    return jax.tree.map(np.asarray, batch)


@pytest.mark.parametrize(("form", "example"), [("paper", PAPER), ("collier", COLLIER)])
def test_the_written_out_example_is_among_the_samples_number_for_number(form, example):
    task = AssociativeRecall(2, 3, item_length=2, num_bits=2, format=form)
    batch = samples(task, 4000)  # expected 8 times
    found = np.flatnonzero((batch.inputs == np.float32(example["inputs"])).all(axis=(1, 2)))
    assert len(found)
    for index in found:
        np.testing.assert_array_equal(batch.targets[index], example["targets"])
        np.testing.assert_array_equal(batch.mask[index], example["mask"])


def test_the_answer_is_the_item_after_the_one_that_is_asked_for():
    task, seen = AssociativeRecall(), set()
    for inputs, targets, mask in zip(*samples(task, 400), strict=True):
        starts = np.flatnonzero(inputs[:, 6] == 1)
        items = [inputs[start + 1 : start + 4, :6] for start in starts]
        first, second = np.flatnonzero(inputs[:, 7] == 1)
        assert (first, second) == (4 * len(items), 4 * len(items) + 4)
        asked = inputs[first + 1 : second, :6]
        (place,) = [i for i, item in enumerate(items[:-1]) if np.array_equal(item, asked)]
        np.testing.assert_array_equal(targets[mask], items[place + 1])
        np.testing.assert_array_equal(np.flatnonzero(mask), second + 1 + np.arange(3))
        assert not inputs[second + 1 :].any() and not targets[~mask].any()
        seen.add((len(items), place))
    assert seen == {(n, place) for n in range(2, 7) for place in range(n - 1)}


def test_of_one_size_there_is_no_padding():
    task = AssociativeRecall()
    batch = task.sample_at(jax.random.key(0), 3, 20)
    assert batch.inputs.shape == (3, 20 * 4 + 2 + 6, 8)
    assert np.asarray(batch.mask)[:, -3:].all()
    assert (task.trained_size, task.min_slots(20)) == ((6,), 60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(min_items=1), "task.min_items, task.max_items: expected 2 <= min_items"),
        (dict(max_items=1), "task.min_items, task.max_items: expected 2 <= min_items"),
        (dict(item_length=0), "task.item_length: expected at least 1, got 0"),
        (dict(format="mine"), r"task.format: expected one of \('paper', 'collier'\), got 'mine'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AssociativeRecall(**options)


def test_one_item_has_none_after_it():
    with pytest.raises(ValueError, match="items: expected at least 2, got 1"):
        AssociativeRecall().sample_at(jax.random.key(0), 1, 1)
