import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from experiments import chomsky
from experiments.chomsky_tasks import DuplicateString
from ntm_jax.evaluation import TrainedModel


class Constant(nn.Module):
    """Answers every question with the symbol of the largest bias."""

    @nn.compact
    def __call__(self, inputs):
        bias = self.param("bias", nn.initializers.zeros, (2,))
        return jnp.broadcast_to(bias, (*inputs.shape[:2], 2))


def test_accuracy_is_by_member_and_length():
    task = DuplicateString()
    trained = TrainedModel(
        Constant(),
        {"bias": np.float32([[1, 0], [0, 1]])},
        task,
        {"task": {"name": "duplicate"}, "model": {"name": "constant"}},
        (0, 1),
        (None, None),
        None,
        "",
    )
    accuracy = chomsky.accuracy_by_length(trained, range(3, 6), 200)
    assert accuracy.shape == (2, 3)
    np.testing.assert_allclose(accuracy.sum(axis=0), 1.0)  # each bit is 0 or 1
    np.testing.assert_allclose(accuracy, 0.5, atol=0.1)
    (zeros,) = chomsky.accuracy_by_length(trained, range(1, 2), 1)[0]
    assert zeros in (0.0, 1.0)
