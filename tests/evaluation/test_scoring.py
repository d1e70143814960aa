import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_config import tiny_config

from ntm_jax import evaluation
from ntm_jax.tasks.copy import Copy
from ntm_jax.training.experiment import Experiment


class Copier(nn.Module):
    """Copies without errors, except for bit 0 of the first `num_errors` scored steps."""

    num_errors: int = 0

    def __call__(self, inputs):
        length = (inputs.shape[1] - 1) // 2
        bits = inputs[:, :length, :-1]
        flipped = jnp.zeros_like(bits).at[:, : self.num_errors, 0].set(1.0)
        outputs = jnp.where(flipped > 0, 1.0 - bits, bits)
        unscored = jnp.zeros((inputs.shape[0], length + 1, bits.shape[2]))
        return jnp.concatenate([unscored, 2.0 * outputs - 1.0], axis=1)


def test_perfect_model_has_no_errors():
    results = evaluation.evaluate(Copier(), {}, Copy(), [1, 7, 30], num_sequences=5)
    assert [result.size for result in results] == [(1,), (7,), (30,)]
    for result in results:
        (length,) = result.size
        # Every logit is 1 or -1.
        bits = 8 * length * np.log2(1 + np.exp(-1.0))
        assert result.sequences == 5
        assert result.bit_errors_per_sequence == 0.0
        assert result.bit_accuracy == result.perfect_sequences == 1.0
        assert result.bits_per_sequence == result.excess_bits_per_sequence
        assert result.bits_per_sequence == pytest.approx(bits, rel=1e-5)


def test_bit_errors_are_counted():
    task = Copy(num_bits=4)
    (result,) = evaluation.evaluate(Copier(num_errors=3), {}, task, [10], num_sequences=6)
    assert result.bit_errors_per_sequence == 3.0
    assert result.bit_accuracy == pytest.approx(1 - 3 / 40)
    assert result.perfect_sequences == 0.0


def test_accuracy_by_step_and_bit():
    accuracy = evaluation.accuracy_by_step(Copier(num_errors=3), {}, Copy(num_bits=4), 10, 6)
    np.testing.assert_allclose(accuracy.by_step, [0.75] * 3 + [1.0] * 7)
    np.testing.assert_allclose(accuracy.by_bit, [0.7, 1.0, 1.0, 1.0], rtol=1e-6)


def test_many_sequences_run_in_batches():
    batch_sizes = set()

    class RecordingCopy(Copy):
        def sample_size(self, key, batch_size, length):
            batch_sizes.add(batch_size)
            return super().sample_size(key, batch_size, length)

    arguments = Copier(num_errors=1), {}, RecordingCopy(num_bits=1)
    (result,) = evaluation.evaluate(*arguments, [2000], num_sequences=300)
    assert batch_sizes == {1, 124, 52}  # one sequence for the shapes
    assert (result.sequences, result.bit_errors_per_sequence) == (300, 1.0)
    accuracy = evaluation.accuracy_by_step(*arguments, 2000, num_sequences=300)
    np.testing.assert_array_equal(accuracy.by_step, [0.0] + [1.0] * 1999)


def test_result_is_independent_of_other_sizes():
    config = tiny_config()
    experiment = Experiment.from_config(config)
    model, task = experiment.model, experiment.task
    params = model.init(jax.random.key(0), jnp.zeros((1, 1, 3)))["params"]
    (alone,) = evaluation.evaluate(model, params, task, [4], 16)
    results = evaluation.evaluate(model, params, task, [2, 4, 6], 16)
    assert alone == results[1]
    assert evaluation.evaluate(model, params, task, [2, 4, 6], 16, seed=1) != results


def test_invalid_size_raises():
    with pytest.raises(ValueError, match="length: expected at least 1, got 0"):
        evaluation.evaluate(Copier(), {}, Copy(), [3, 0])


def test_compiled_evaluation_is_reused(caplog):
    config = tiny_config()
    experiment = Experiment.from_config(config)
    params = jax.device_get(experiment.make_trainer().init().params)
    args = experiment.model, params, experiment.task, [3, 5], 6

    def num_compilations(function, *args):
        caplog.clear()
        with jax.log_compiles():
            function(*args)
        messages = [record.getMessage() for record in caplog.records]
        return sum(message.startswith("Compiling jit(_scores)") for message in messages)

    assert num_compilations(evaluation.scoring.compile_evaluation, *args) == 2
    assert num_compilations(evaluation.scoring.evaluate_members, *args, 1) == 0
    assert num_compilations(evaluation.scoring.evaluate_members, *args[:3], [4], 6) == 1
