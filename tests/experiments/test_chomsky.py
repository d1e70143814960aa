import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from experiments import chomsky, priority_sort_gaps
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


def test_errors_are_binned_by_gap():
    edges = priority_sort_gaps.EDGES
    gaps = np.array([0.0, edges[1] / 2, edges[1], 1.0, *edges[2:5]])
    errors = np.array([1.0, 2.0, 30.0, 7.0, 4.0, 5.0, 9.0])
    assert priority_sort_gaps.errors_by_gap(gaps, errors) == [1.5, 30.0, 4.0, 5.0, 8.0]
