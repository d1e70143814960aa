import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.tasks.base import Batch
from ntm_jax.tasks.ngrams import Ngrams, optimal_probabilities


def count_by_context(bits, context_length):
    """Counts, per sequence and context, its occurrences and how many of them precede a 1."""
    counts = np.zeros((len(bits), 2**context_length, 2))
    for row, sequence in enumerate(bits.astype(int)):
        for end in range(context_length, len(sequence)):
            context = int("".join(map(str, sequence[end - context_length : end])), 2)
            counts[row, context] += 1, sequence[end]
    return counts


def running_counts(bits, context_length):
    """Counts, at each step, the zeros and ones that followed the current context before."""
    counts = np.zeros((*bits.shape, 2))
    for row, sequence in enumerate(bits.astype(int)):
        by_context: dict = {}
        for end in range(context_length, len(sequence) + 1):
            context = tuple(sequence[end - context_length : end])
            counts[row, end - 1] = by_context.setdefault(context, np.zeros(2))
            if end < len(sequence):
                by_context[context][sequence[end]] += 1
    return counts


def test_targets_are_next_bits(sample):
    batch = sample(Ngrams(context_length=5, max_length=200), 4)
    assert batch.inputs.shape == batch.targets.shape == (4, 199, 1)
    np.testing.assert_array_equal(batch.targets[:, :-1], batch.inputs[:, 1:])
    assert set(np.unique(batch.inputs)) == {0.0, 1.0}
    np.testing.assert_array_equal(batch.mask, 4 * [4 * [False] + 195 * [True]])


def test_tables_follow_beta_distribution(sample):
    # With two contexts and 2,000 bits, the frequency of ones is close to its probability.
    batch = sample(Ngrams(context_length=1, max_length=2000), 200)
    occurrences, ones = np.moveaxis(count_by_context(batch.inputs[..., 0], 1), -1, 0)
    frequencies = (ones / np.maximum(occurrences, 1))[occurrences > 100]
    assert len(frequencies) > 200
    # Beta(1/2, 1/2): a third of the mass within 1/4 of 0, a third within 1/4 of 1; variance 1/8.
    low, high = np.mean(frequencies < 0.25), np.mean(frequencies > 0.75)
    assert low == pytest.approx(1 / 3, abs=0.08) and high == pytest.approx(1 / 3, abs=0.08)
    assert np.var(frequencies) == pytest.approx(1 / 8, abs=0.02)


def test_bits_depend_only_on_context(sample):
    bits = sample(Ngrams(context_length=2, max_length=3000), 40).inputs[..., 0]
    two, three = count_by_context(bits, 2), count_by_context(bits, 3)
    probability = two[..., 1] / np.maximum(two[..., 0], 1)
    for older in (0, 1):
        occurrences, ones = np.moveaxis(three[:, 4 * older : 4 * older + 4], -1, 0)
        std = np.sqrt(occurrences * probability * (1 - probability) + 1)
        deviations = ((ones - occurrences * probability) / std)[occurrences > 200]
        assert len(deviations) > 20
        assert np.abs(deviations).max() < 5


def reference_probabilities(bits, context_length):
    """Equation 10, one bit at a time."""
    probabilities = []
    for end in range(1, len(bits) + 1):
        if end < context_length:
            probabilities.append(0.5)
            continue
        context, zeros, ones = tuple(bits[end - context_length : end]), 0, 0
        for i in range(context_length, end):
            if tuple(bits[i - context_length : i]) == context:
                zeros, ones = zeros + (bits[i] == 0), ones + (bits[i] == 1)
        probabilities.append((ones + 0.5) / (zeros + ones + 1))
    return probabilities


@pytest.mark.parametrize("context_length", [1, 2, 5])
def test_optimal_probabilities_match_reference(sample, context_length):
    batch = sample(Ngrams(context_length, max_length=60), 3)
    actual = jax.jit(optimal_probabilities, static_argnums=1)(batch.inputs, context_length)
    for row, bits in zip(actual, batch.inputs, strict=True):
        expected = reference_probabilities(bits[:, 0], context_length)
        np.testing.assert_allclose(row[:, 0], expected, rtol=1e-6)


def test_optimal_bits_of_worked_example():
    # Bits 1 1 0 1 1, contexts of one bit. Probabilities of the four targets: 1/2 after the first 1;
    # 1/4 for a 0 after 1, which a 1 followed before; 1/2 after 0; 1/2 after 1, followed by 1 and 0.
    bits = jnp.array([1.0, 1, 0, 1, 1])
    batch = Batch(bits[None, :-1, None], bits[None, 1:, None], jnp.ones((1, 4), bool))
    expected = 1 + 2 + 1 + 1
    np.testing.assert_allclose(Ngrams(1, 5).optimal_bits(batch), [expected], rtol=1e-6)
    masked = batch._replace(mask=batch.mask.at[0, 1].set(False))
    np.testing.assert_allclose(Ngrams(1, 5).optimal_bits(masked), [expected - 2], rtol=1e-6)


def test_other_priors_cost_more(sample):
    task = Ngrams()
    batch = sample(task, 400)
    optimal = float(np.mean(task.optimal_bits(batch)))
    # The paper's optimal line lies between 120 and 135 bits; chance is 195.
    assert 115 < optimal < 135
    counts = running_counts(batch.inputs[..., 0], 5)
    for prior in (0.1, 2.0):  # pseudocounts in place of 1/2
        probability = (counts[..., 1] + prior) / (counts.sum(-1) + 2 * prior)
        bits = -np.log2(np.where(batch.targets[..., 0] > 0.5, probability, 1 - probability))
        assert np.where(batch.mask, bits, 0).sum(axis=1).mean() > optimal


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(context_length=0), "task.context_length: expected 1 to 16, got 0"),
        (dict(context_length=40), "task.context_length: expected 1 to 16, got 40"),
        (dict(max_length=5), "task.max_length: expected more than the 5 bits of context, got 5"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        Ngrams(**fields)


def test_length_must_exceed_context():
    with pytest.raises(ValueError, match="length: expected at least 6, got 5"):
        Ngrams().sample_size(jax.random.key(0), 1, 5)
    assert Ngrams().sample_size(jax.random.key(0), 1, 6).mask.shape == (1, 5)
