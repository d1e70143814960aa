"""RNN with cells other than an NTM; test_models.py tests the scan itself."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import strategies

from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.rnn import RNN

BATCH, STEPS, INPUTS = 2, 5, 4


def _inputs():
    return jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS))


def test_dropout_differs_between_steps():
    model = RNN(FeedForward((50,), dropout_rate=0.5))
    inputs = jnp.ones((STEPS, INPUTS))
    params = strategies.init_random_params(model, inputs)
    without_key = model.apply({"params": params}, inputs)
    np.testing.assert_array_equal(without_key, np.broadcast_to(without_key[0], without_key.shape))
    outputs = model.apply({"params": params}, inputs, rngs={"dropout": jax.random.key(0)})
    assert len(np.unique(np.asarray(outputs) == 0, axis=0)) == STEPS


def test_lstm_matches_flax_rnn():
    model, flax_rnn = (rnn(nn.OptimizedLSTMCell(3)) for rnn in (RNN, nn.RNN))
    variables = {"params": strategies.init_random_params(model, _inputs())}
    lengths = jnp.array([STEPS, 2])
    mask = jnp.arange(STEPS) < lengths[:, None]
    carry, outputs = model.apply(variables, _inputs(), mask, return_carry=True)
    expected_carry, expected_outputs = flax_rnn.apply(
        variables, _inputs(), seq_lengths=lengths, return_carry=True
    )
    expected_outputs = jnp.where(mask[..., None], expected_outputs, 0.0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        (carry, outputs),
        (expected_carry, expected_outputs),
    )


class ScaleAndSow(nn.RNNCellBase):
    """Scales its inputs by a variable, drops some and sows the result."""

    @nn.compact
    def __call__(self, carry, inputs):
        scale = self.variable("constants", "scale", jnp.ones, ()).value
        outputs = nn.Dropout(0.5, deterministic=False)(scale * inputs)
        self.sow("intermediates", "outputs", outputs)
        return carry, outputs

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return ()

    num_feature_axes = 1


def test_scan_arguments_reach_nn_scan():
    model = RNN(
        ScaleAndSow(),
        variable_axes={"intermediates": 1},
        variable_broadcast=("params", "constants"),
        split_rngs={"params": False, "dropout": False},
    )
    outputs, variables = model.apply(
        {"constants": {"cell": {"scale": jnp.array(3.0)}}},
        _inputs(),
        rngs={"dropout": jax.random.key(0)},
        mutable=["intermediates"],
    )
    np.testing.assert_array_equal(variables["intermediates"]["cell"]["outputs"][0], outputs)
    kept = np.asarray(outputs) != 0
    np.testing.assert_array_equal(outputs, np.where(kept, 2 * 3 * _inputs(), 0))
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))
    assert 0 < kept.mean() < 1


def test_ntm_cell_works_inside_a_stack():
    model = RNN(Stack((LSTM(3), NTMCell(3, LSTM(3), num_slots=5, slot_width=2))), features=2)
    params = strategies.init_random_params(model, _inputs())
    carry, outputs = model.apply({"params": params}, _inputs(), return_carry=True)
    assert outputs.shape == (BATCH, STEPS, 2)
    assert strategies.all_finite((carry, outputs))


@pytest.mark.parametrize(
    ("field", "value", "minimum"),
    [("features", 0, 1), ("unroll", 0, 1), ("remat_chunk_size", -1, 0)],
)
def test_invalid_fields_raise(field, value, minimum):
    with pytest.raises(ValueError, match=f"^{field}: expected at least {minimum}, got {value}$"):
        RNN(LSTM(3), **{field: value})
