import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference, strategies

from ntm_jax.controllers import LSTM, FeedForward, Stack

ROUNDING = {"rtol": 1e-5, "atol": 1e-5}

CONTROLLERS = {
    "feed-forward, no layer": FeedForward(()),
    "feed-forward, one layer": FeedForward((4,)),
    "feed-forward, two layers": FeedForward((4, 3)),
    "lstm": LSTM(4),
    "stack": Stack([LSTM(4), FeedForward((3,))]),
    "stack with skip": Stack([LSTM(4), nn.GRUCell(3)], skip=True),
}
every_controller = pytest.mark.parametrize("cell", CONTROLLERS.values(), ids=CONTROLLERS)


def _init(cell, *shape):
    """Random parameters, a random carry, and inputs of this shape."""
    inputs = jnp.asarray(strategies.normal(1, *shape))
    carry = cell.initialize_carry(jax.random.key(0), shape)
    params = strategies.init_random_params(cell, carry, inputs)
    return params, strategies.random_params(carry, seed=2), inputs


@every_controller
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_controllers_follow_the_cell_contract(cell, batch):
    assert isinstance(cell, nn.RNNCellBase)
    assert cell.num_feature_axes == 1
    params, carry, inputs = _init(cell, *batch, 5)
    new_carry, outputs = cell.apply({"params": params}, carry, inputs)
    assert jax.tree.structure(new_carry) == jax.tree.structure(carry)
    assert jax.tree.map(jnp.shape, new_carry) == jax.tree.map(jnp.shape, carry)
    assert outputs.shape[:-1] == batch
    last = tuple(size - 1 for size in batch)
    single_carry = jax.tree.map(lambda leaf: leaf[last], carry)
    single = cell.apply({"params": params}, single_carry, inputs[last])[1]
    np.testing.assert_allclose(outputs[last], single, **ROUNDING)


@every_controller
def test_gradients_are_finite_and_nonzero(cell):
    params, carry, inputs = _init(cell, 2, 5)
    gradients = jax.grad(lambda p: jnp.sum(cell.apply({"params": p}, carry, inputs)[1] ** 2))(
        params
    )
    assert strategies.all_finite(gradients)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("sizes", [(4,), (4, 3)])
def test_feed_forward_matches_reference(sizes):
    params, carry, inputs = _init(FeedForward(sizes), 5)
    new_carry, outputs = FeedForward(sizes).apply({"params": params}, carry, inputs)
    assert carry == new_carry == ()
    expected = reference.feed_forward(reference.float64(params), (), inputs)[1]
    np.testing.assert_allclose(outputs, expected, **ROUNDING)


def test_feed_forward_without_layers_is_identity():
    params, carry, inputs = _init(FeedForward(()), 2, 5)
    assert jax.tree.leaves(params) == []
    new_carry, outputs = FeedForward(()).apply({}, carry, inputs)
    assert new_carry == ()
    np.testing.assert_array_equal(outputs, inputs)


def test_feed_forward_applies_its_activation():
    params, carry, inputs = _init(FeedForward((4,)), 3, 5)
    relu, identity = (
        FeedForward((4,), activation=activation).apply({"params": params}, carry, inputs)[1]
        for activation in (nn.relu, lambda x: x)
    )
    np.testing.assert_array_equal(relu, np.maximum(identity, 0))


def test_dropout_rescales_and_can_be_turned_off():
    cell = FeedForward((400,), dropout_rate=0.25, deterministic=False)
    params, carry, inputs = _init(cell, 2, 5)
    off = cell.clone(deterministic=True).apply({"params": params}, carry, inputs)[1]
    plain = FeedForward((400,)).apply({"params": params}, carry, inputs)[1]
    np.testing.assert_array_equal(off, plain)
    outputs = cell.apply({"params": params}, carry, inputs, rngs={"dropout": jax.random.key(0)})[1]
    dropped = np.asarray(outputs == 0)
    assert 0.18 < dropped.mean() < 0.32  # 0.25 with a standard deviation of 0.015
    np.testing.assert_allclose(outputs[~dropped], plain[~dropped] / 0.75, rtol=1e-6)


def test_lstm_matches_flax():
    size = 4
    params, carry, inputs = _init(LSTM(size), 2, 5)
    kernels = np.split(np.asarray(params["Dense_0"]["kernel"]), 4, axis=1)
    biases = np.split(np.asarray(params["Dense_0"]["bias"]), 4)
    flax_params = {}
    for name, kernel, bias in zip("ifgo", kernels, biases, strict=True):
        flax_params[f"i{name}"] = {"kernel": kernel[:5]}
        flax_params[f"h{name}"] = {"kernel": kernel[5:], "bias": bias}
    expected = nn.LSTMCell(size).apply({"params": flax_params}, carry, inputs)
    actual = LSTM(size).apply({"params": params}, carry, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **ROUNDING), actual, expected)
    (_, h), outputs = actual
    np.testing.assert_array_equal(outputs, h)


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, -2.0])
def test_forget_bias_sets_only_the_forget_gate(forget_bias):
    cell = LSTM(3, forget_bias=forget_bias)
    carry = cell.initialize_carry(jax.random.key(0), (5,))
    params = cell.init(jax.random.key(0), carry, jnp.zeros(5))["params"]
    expected = [0.0] * 3 + [forget_bias] * 3 + [0.0] * 6
    np.testing.assert_array_equal(params["Dense_0"]["bias"], expected)
    # Without an input and a hidden state the gate is the sigmoid of the bias.
    (c, _), _ = cell.apply({"params": params}, (jnp.ones(3), jnp.zeros(3)), jnp.zeros(5))
    np.testing.assert_allclose(c, reference.sigmoid(np.full(3, forget_bias)), rtol=1e-6)


@pytest.mark.parametrize("skip", [False, True])
def test_stack_connects_its_cells(skip):
    cells = LSTM(4), LSTM(3)
    stack = Stack(cells, skip=skip)
    params, carry, inputs = _init(stack, 2, 5)
    new_carry, outputs = stack.apply({"params": params}, carry, inputs)
    first_carry, first = cells[0].apply({"params": params["cells_0"]}, carry[0], inputs)
    second_inputs = jnp.concatenate([inputs, first], axis=-1) if skip else first
    second_carry, second = cells[1].apply({"params": params["cells_1"]}, carry[1], second_inputs)
    expected = jnp.concatenate([first, second], axis=-1) if skip else second
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **ROUNDING),
        (new_carry, outputs),
        ((first_carry, second_carry), expected),
    )


def test_stack_carry_of_wrong_length_raises():
    cell = Stack([LSTM(4), LSTM(3)])
    params, carry, inputs = _init(cell, 2, 5)
    with pytest.raises(ValueError, match="^carry: expected a tuple of 2 parts, got 1 parts"):
        cell.apply({"params": params}, carry[:1], inputs)


def test_invalid_sizes_raise():
    with pytest.raises(ValueError, match=r"^hidden_sizes: expected at least 1, got \(4, 0\)$"):
        FeedForward([4, 0])
    with pytest.raises(ValueError, match="^features: expected at least 1, got 0$"):
        LSTM(0)


@pytest.mark.parametrize(
    "cell", [FeedForward((4,), dtype=jnp.bfloat16), LSTM(4, dtype=jnp.bfloat16)], ids=["ff", "lstm"]
)
def test_bfloat16_keeps_params_and_carry_float32(cell):
    params, carry, inputs = _init(cell, 2, 5)
    expected = cell.clone(dtype=None).apply({"params": params}, carry, inputs)[1]
    new_carry, outputs = cell.apply({"params": params}, carry, inputs)
    for leaf in jax.tree.leaves((params, carry, new_carry)):
        assert leaf.dtype == jnp.float32
    # bfloat16 has 8 bits: equal to about 1 %, but not exactly.
    np.testing.assert_allclose(np.float32(outputs), expected, atol=0.1)
    assert (np.float32(outputs) != np.asarray(expected)).any()
