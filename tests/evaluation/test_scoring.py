import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_config import tiny_config

from ntm_jax.evaluation import scoring
from ntm_jax.training import experiment
from ntm_jax.evaluation.scoring import Result
from ntm_jax.tasks.copy import Copy


class Oracle(nn.Module):
    """Copies perfectly, but for the first `wrong` steps of the answer, whose bit 0 it flips."""

    wrong: int = 0

    def __call__(self, inputs):
        length = (inputs.shape[1] - 1) // 2
        bits = inputs[:, :length, :-1]
        flips = jnp.zeros_like(bits).at[:, : self.wrong, 0].set(1.0)
        answer = jnp.where(flips > 0, 1.0 - bits, bits)
        before = jnp.zeros((inputs.shape[0], length + 1, bits.shape[2]))
        return jnp.concatenate([before, 2.0 * answer - 1.0], axis=1)


def test_a_perfect_model_is_perfect_at_every_length():
    results = scoring.evaluate(Oracle(), {}, Copy(), [1, 7, 30], num_sequences=5)
    assert [result.size for result in results] == [(1,), (7,), (30,)]
    for result in results:
        (length,) = result.size
        # The oracle is sure of every bit by one logit.
        bits = 8 * length * np.log2(1 + np.exp(-1.0))
        assert result == Result((length,), 5, 0.0, result[3], result[4], 1.0, 1.0)
        assert result.bits_per_sequence == result.excess_bits_per_sequence
        assert result.bits_per_sequence == pytest.approx(bits, rel=1e-5)


def test_wrong_bits_are_counted():
    (result,) = scoring.evaluate(Oracle(wrong=3), {}, Copy(num_bits=4), [10], num_sequences=6)
    assert result.bit_errors_per_sequence == 3.0
    assert result.bit_accuracy == pytest.approx(1 - 3 / 40)
    assert result.perfect_sequences == 0.0


def test_wrong_bits_are_found_in_their_step_and_bit():
    accuracy = scoring.accuracy_by_step(Oracle(wrong=3), {}, Copy(num_bits=4), 10, 6)
    np.testing.assert_allclose(accuracy.by_step, [0.75] * 3 + [1.0] * 7)
    np.testing.assert_allclose(accuracy.by_bit, [0.7, 1.0, 1.0, 1.0], rtol=1e-6)


def test_pieces_of_a_long_evaluation_add_up(monkeypatch):
    monkeypatch.setattr(evaluation, "_CHUNK", 3 * 21)
    sizes = [size for size, _ in scoring._chunks(Copy(), (10,), 8, 0)]
    assert sizes == [3, 3, 2]
    (result,) = scoring.evaluate(Oracle(wrong=1), {}, Copy(), [10], num_sequences=8)
    assert (result.sequences, result.bit_errors_per_sequence) == (8, 1.0)
    accuracy = scoring.accuracy_by_step(Oracle(wrong=1), {}, Copy(), 10, 8)
    assert accuracy.by_step[0] == pytest.approx(7 / 8)


def test_a_length_is_scored_the_same_whatever_else_is():
    config = tiny_config()
    model, task = experiment.make_model(config), experiment.make_task(config)
    params = model.init(jax.random.key(0), jnp.zeros((1, 1, 3)))["params"]
    alone = scoring.evaluate(model, params, task, [4], 16)
    among = scoring.evaluate(model, params, task, [2, 4, 6], 16)
    assert alone[0] == among[1]
    assert scoring.evaluate(model, params, task, [2, 4, 6], 16, seed=1) != among
