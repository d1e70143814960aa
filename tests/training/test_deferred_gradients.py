import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax import baselines, models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.models import NTM
from ntm_jax.training.deferred_gradients import deferred

INPUTS = jax.random.normal(jax.random.key(1), (2, 5, 3))
CELL = NTMCell(4, FeedForward((7,)), num_slots=6, slot_width=5)


class Twice(nn.RNNCellBase):
    """A cell that goes through one dense layer twice a step, and through another once."""

    @nn.compact
    def __call__(self, carry, inputs):
        layer = nn.Dense(3)
        carry = jnp.tanh(layer(jnp.tanh(layer(carry + inputs))))
        return carry, nn.Dense(2, use_bias=False)(carry)

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros(input_shape)

    @property
    def num_feature_axes(self):
        return 1


MODELS = {
    "feed-forward": NTM(CELL.clone(controller=FeedForward((7,), dropout_rate=0.5)), remat=True),
    "lstm": NTM(CELL.clone(controller=LSTM(7)), learn=models.LEARNABLE),
    "segments": NTM(CELL.clone(controller=LSTM(7)), remat=True, segment=2),
    "table 3": baselines.skip_lstm(4, hidden_size=5),
    "transformer": baselines.Transformer(4, width=8, num_layers=1, num_heads=2),
    "a layer twice": models.Recurrent(Twice()),
    "a scan that knows nothing of it": nn.RNN(nn.LSTMCell(4)),
    "no dense layer in the scan": models.Recurrent(nn.OptimizedLSTMCell(5), 4),
    "half precision": models.Recurrent(FeedForward((7,), dtype=jnp.bfloat16)),
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_those_of_autodiff(name):
    model, rngs = MODELS[name], {"dropout": jax.random.key(3)}

    @jax.jit
    def both(params, inputs, weights):
        outputs = []
        for apply in (
            lambda params, inputs: model.apply({"params": params}, inputs, rngs=rngs),
            lambda params, inputs: deferred(model)(params, inputs, rngs),
        ):
            given, backward = jax.vjp(apply, params, inputs)
            outputs.append((given, *backward(weights[..., : given.shape[-1]].astype(given.dtype))))
        return outputs

    params = model.init(jax.random.key(0), INPUTS)["params"]
    expected, got = both(params, INPUTS, jax.random.normal(jax.random.key(2), (2, 5, 7)))
    assert jax.tree.structure(expected) == jax.tree.structure(got)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(expected[1]))
    rounding = 1e-2 if name == "half precision" else 2e-5
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            np.float32(a), np.float32(b), rtol=rounding, atol=rounding * np.max(np.abs(a))
        )


@pytest.mark.parametrize(("name", "carried"), [("lstm", False), ("a layer twice", True)])
def test_the_backward_scan_carries_no_sum_of_a_kernel(name, carried):
    model = MODELS[name]
    params = model.init(jax.random.key(0), INPUTS)["params"]
    kernels = {leaf.shape for leaf in jax.tree.leaves(params["cell"]) if leaf.ndim == 2}
    kernels -= {(2, 7)}  # an LSTM's carry of the batch
    gradient = jax.grad(lambda params: jnp.sum(deferred(model)(params, INPUTS, {})))
    carries = list(scan_carries(jax.make_jaxpr(gradient)(params).jaxpr))
    assert len(carries) >= 2  # forward and backward
    assert any(shape in kernels for shapes in carries for shape in shapes) == carried


def scan_carries(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            # What is stacked over time has an axis more outside.
            body = equation.params["jaxpr"].jaxpr.outvars
            shapes = [
                (a.aval.shape, b.aval.shape) for a, b in zip(equation.outvars, body, strict=True)
            ]
            yield [outside for outside, inside in shapes if outside == inside]
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda value: hasattr(value, "jaxpr")
        ):
            if hasattr(inner, "jaxpr"):
                yield from scan_carries(inner.jaxpr)
