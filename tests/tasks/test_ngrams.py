import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.tasks.base import Batch
from ntm_jax.tasks.ngrams import Ngrams, optimal_probabilities


def samples(task, count):
    batch = jax.jit(task.sample, static_argnums=1)(jax.random.key(0), count)
    return jax.tree.map(np.asarray, batch)


def test_what_is_to_be_predicted_is_the_next_bit_where_a_context_is_whole():
    batch = samples(Ngrams(context_length=5, max_length=200), 4)
    assert batch.inputs.shape == batch.targets.shape == (4, 199, 1)
    np.testing.assert_array_equal(batch.targets[:, :-1], batch.inputs[:, 1:])
    assert set(np.unique(batch.inputs)) == {0.0, 1.0}
    np.testing.assert_array_equal(batch.mask, 4 * [4 * [False] + 195 * [True]])


def shares(bits, context_length):
    """For each sequence and context: how often it came, and how often a 1 followed."""
    counts = np.zeros((len(bits), 2**context_length, 2))
    for row, sequence in enumerate(bits.astype(int)):
        for end in range(context_length, len(sequence)):
            context = int("".join(map(str, sequence[end - context_length : end])), 2)
            counts[row, context] += 1, sequence[end]
    return counts


def test_every_sequence_has_a_table_of_its_own_from_the_arcsine_distribution():
    # With two contexts and 2,000 bits a share of ones is next to its probability.
    batch = samples(Ngrams(context_length=1, max_length=2000), 200)
    came, ones = np.moveaxis(shares(batch.inputs[..., 0], 1), -1, 0)
    chances = (ones / np.maximum(came, 1))[came > 100]
    assert len(chances) > 200
    # Beta(1/2, 1/2): a third of the mass within 1/4 of 0, a third in the middle; variance 1/8.
    low, high = np.mean(chances < 0.25), np.mean(chances > 0.75)
    assert low == pytest.approx(1 / 3, abs=0.08) and high == pytest.approx(1 / 3, abs=0.08)
    assert np.var(chances) == pytest.approx(1 / 8, abs=0.02)


def test_a_bit_depends_on_its_context_and_on_nothing_before_it():
    batch = samples(Ngrams(context_length=2, max_length=3000), 40)
    bits = batch.inputs[..., 0]
    two, three = shares(bits, 2), shares(bits, 3)
    for older in (0, 1):
        came, ones = np.moveaxis(three[:, 4 * older : 4 * older + 4], -1, 0)
        chance = two[..., 1] / np.maximum(two[..., 0], 1)
        enough = came > 200
        wrong = (ones - came * chance)[enough] / np.sqrt(came * chance * (1 - chance) + 1)[enough]
        assert len(wrong) > 20
        assert np.abs(wrong).max() < 5


def by_hand(bits, context_length):
    """Equation 10, bit by bit."""
    predicted = []
    for end in range(1, len(bits) + 1):
        if end < context_length:
            predicted.append(0.5)
            continue
        context, zeros, ones = tuple(bits[end - context_length : end]), 0, 0
        for at in range(context_length, end):
            if tuple(bits[at - context_length : at]) == context:
                zeros, ones = zeros + (bits[at] == 0), ones + (bits[at] == 1)
        predicted.append((ones + 0.5) / (zeros + ones + 1))
    return predicted


@pytest.mark.parametrize("context_length", [1, 2, 5])
def test_the_optimal_estimator_counts_what_followed_each_context(context_length):
    batch = samples(Ngrams(context_length, max_length=60), 3)
    found = jax.jit(optimal_probabilities, static_argnums=1)(batch.inputs, context_length)
    for row, bits in zip(found, batch.inputs, strict=True):
        np.testing.assert_allclose(row[:, 0], by_hand(bits[:, 0], context_length), rtol=1e-6)


def test_its_cost_is_in_bits_of_the_scored_steps():
    # Contexts of one bit: 1 1 0 1 1. What is predicted: 1/2, then 1 after one 1 followed by 1.
    bits = jnp.array([1.0, 1, 0, 1, 1])
    batch = Batch(bits[None, :-1, None], bits[None, 1:, None], jnp.ones((1, 4), bool))
    # After 1: 1/2; after 1 with 1 seen: 1/4 for the 0; after 0: 1/2; after 1 with 1, 0 seen: 1/2.
    want = 1 + 2 + 1 + 1
    np.testing.assert_allclose(Ngrams(1, 5).optimal_bits(batch), [want], rtol=1e-6)
    unscored = batch._replace(mask=batch.mask.at[0, 1].set(False))
    np.testing.assert_allclose(Ngrams(1, 5).optimal_bits(unscored), [want - 2], rtol=1e-6)


def test_nothing_that_sees_the_past_alone_is_expected_to_cost_less():
    task = Ngrams()
    batch = samples(task, 400)
    optimal = float(np.mean(task.optimal_bits(batch)))
    # The paper's optimal line lies between 120 and 135 bits; a fair coin costs 195.
    assert 115 < optimal < 135
    for prior in (0.1, 2.0):  # the same counts, with other beliefs about the table
        chance = np.asarray(optimal_probabilities(batch.inputs, 5))
        counts = _counts(batch.inputs[..., 0], 5)
        chance = (counts[..., 1] + prior) / (counts.sum(-1) + 2 * prior)
        bits = -np.log2(np.where(batch.targets[..., 0] > 0.5, chance, 1 - chance))
        assert np.where(batch.mask, bits, 0).sum(axis=1).mean() > optimal


def _counts(bits, context_length):
    counts = np.zeros((*bits.shape, 2))
    for row, sequence in enumerate(bits.astype(int)):
        seen: dict = {}
        for end in range(context_length, len(sequence) + 1):
            context = tuple(sequence[end - context_length : end])
            counts[row, end - 1] = seen.setdefault(context, np.zeros(2))
            if end < len(sequence):
                seen[context][sequence[end]] += 1
    return counts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(context_length=0), "task.context_length: expected 1 to 16, got 0"),
        (dict(context_length=40), "task.context_length: expected 1 to 16, got 40"),
        (dict(max_length=5), "task.max_length: expected more than the 5 bits of context, got 5"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Ngrams(**options)


def test_a_length_without_a_whole_context_is_refused():
    with pytest.raises(ValueError, match="length: expected at least 6, got 5"):
        Ngrams().sample_at(jax.random.key(0), 1, 5)
    assert math.prod(Ngrams().sample_at(jax.random.key(0), 1, 6).mask.shape) == 5
