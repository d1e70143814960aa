import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax import baselines, models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.models import NTM
from ntm_jax.rnn import RNN
from ntm_jax.training.deferred_gradients import deferred

INPUTS = jax.random.normal(jax.random.key(1), (2, 5, 3))
DROPOUT = FeedForward((7,), dropout_rate=0.5, deterministic=False)
CELL = NTMCell(4, FeedForward((7,)), num_slots=6, slot_width=5)


class SharedDense(nn.RNNCellBase):
    """Calls one dense layer twice per step, and another one once."""

    @nn.compact
    def __call__(self, carry, inputs):
        layer = nn.Dense(3)
        carry = jnp.tanh(layer(jnp.tanh(layer(carry + inputs))))
        return carry, nn.Dense(2, use_bias=False)(carry)

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros(input_shape)

    num_feature_axes = 1


MODELS = {
    "feed-forward": NTM(CELL.clone(controller=DROPOUT), remat=True),
    "lstm": NTM(CELL.clone(controller=LSTM(7)), learned_init=models.LEARNED_INITS),
    "chunks": NTM(CELL.clone(controller=LSTM(7)), remat=True, remat_chunk_size=2),
    "lstm_skip": baselines.lstm_skip(4, hidden_size=5),
    "transformer": baselines.Transformer(4, d_model=8, num_layers=1, num_heads=2),
    "shared layer": RNN(SharedDense()),
    "flax rnn": nn.RNN(nn.LSTMCell(4)),
    "no dense layer in the scan": RNN(nn.OptimizedLSTMCell(5), 4),
    "bfloat16": RNN(FeedForward((7,), dtype=jnp.bfloat16)),
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_match_autodiff(name):
    model, rngs = MODELS[name], {"dropout": jax.random.key(3)}

    @jax.jit
    def run(params, inputs, d_outputs):
        results = []
        for apply in (
            lambda params, inputs: model.apply({"params": params}, inputs, rngs=rngs),
            lambda params, inputs: deferred(model)(params, inputs, rngs),
        ):
            outputs, vjp = jax.vjp(apply, params, inputs)
            gradients = vjp(d_outputs[..., : outputs.shape[-1]].astype(outputs.dtype))
            results.append((outputs, *gradients))
        return results

    params = model.init(jax.random.key(0), INPUTS)["params"]
    expected, actual = run(params, INPUTS, jax.random.normal(jax.random.key(2), (2, 5, 7)))
    assert jax.tree.structure(expected) == jax.tree.structure(actual)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(expected[1]))
    rounding = 1e-2 if name == "bfloat16" else 2e-5
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            np.float32(a), np.float32(b), rtol=rounding, atol=rounding * np.max(np.abs(a))
        )


@pytest.mark.parametrize(("name", "accumulates"), [("lstm", False), ("shared layer", True)])
def test_scan_carries_no_kernel_gradients(name, accumulates):
    model = MODELS[name]
    params = model.init(jax.random.key(0), INPUTS)["params"]
    kernels = {leaf.shape for leaf in jax.tree.leaves(params["cell"]) if leaf.ndim == 2}
    kernels -= {(2, 7)}  # the shape of the LSTM's carry
    gradient = jax.grad(lambda params: jnp.sum(deferred(model)(params, INPUTS, {})))
    scans = list(_scan_carry_shapes(jax.make_jaxpr(gradient)(params).jaxpr))
    assert len(scans) >= 2  # forward and backward
    assert any(shape in kernels for shapes in scans for shape in shapes) == accumulates


def _scan_carry_shapes(jaxpr):
    """Yields the shapes of the carry of every scan in a jaxpr."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            # The carry has the same shape outside the scan; stacked outputs have one more axis.
            body = equation.params["jaxpr"].jaxpr.outvars
            shapes = [
                (a.aval.shape, b.aval.shape) for a, b in zip(equation.outvars, body, strict=True)
            ]
            yield [outside for outside, inside in shapes if outside == inside]
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda value: hasattr(value, "jaxpr")
        ):
            if hasattr(inner, "jaxpr"):
                yield from _scan_carry_shapes(inner.jaxpr)
