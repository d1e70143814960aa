from support import strategies
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference

from ntm_jax.controllers import LSTM, FeedForward, Stack

ROUNDING = {"rtol": 1e-5, "atol": 1e-5}

OURS = {
    "feed-forward, none": FeedForward(()),
    "feed-forward, one": FeedForward((4,)),
    "feed-forward, two": FeedForward((4, 3)),
    "lstm": LSTM(4),
    "stack": Stack([LSTM(4), FeedForward((3,))]),
    "stack with skips": Stack([LSTM(4), nn.GRUCell(3)], skip=True),
}
every_controller = pytest.mark.parametrize("cell", OURS.values(), ids=OURS)


def _started(cell, *shape):
    """Parameters without symmetry, a carry in mid-flight, and inputs of this shape."""
    inputs = jnp.asarray(strategies.normal(1, *shape))
    carry = cell.initialize_carry(jax.random.key(0), shape)
    return strategies.parameters(cell, carry, inputs), strategies.shaken(carry, seed=2), inputs


@every_controller
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_every_controller_is_a_cell_whatever_the_batch_axes(cell, batch):
    assert isinstance(cell, nn.RNNCellBase)
    assert cell.num_feature_axes == 1
    params, carry, inputs = _started(cell, *batch, 5)
    following, outputs = cell.apply({"params": params}, carry, inputs)
    assert jax.tree.structure(following) == jax.tree.structure(carry)
    assert jax.tree.map(jnp.shape, following) == jax.tree.map(jnp.shape, carry)
    assert outputs.shape[:-1] == batch
    last = tuple(size - 1 for size in batch)
    one_carry = jax.tree.map(lambda leaf: leaf[last], carry)
    alone = cell.apply({"params": params}, one_carry, inputs[last])[1]
    np.testing.assert_allclose(outputs[last], alone, **ROUNDING)


@pytest.mark.parametrize("sizes", [(), (4,), (4, 3)])
def test_feed_forward_is_layers_of_tanh_and_carries_nothing(sizes):
    params, carry, inputs = _started(FeedForward(sizes), 5)
    following, outputs = FeedForward(sizes).apply({"params": params}, carry, inputs)
    assert carry == following == ()
    want = reference.feed_forward(reference.float64(params), (), inputs)[1]
    np.testing.assert_allclose(outputs, want, **ROUNDING)


def test_feed_forward_without_layers_hands_its_input_on_and_has_no_parameters():
    params, carry, inputs = _started(FeedForward(()), 2, 5)
    assert jax.tree.leaves(params) == []
    np.testing.assert_array_equal(FeedForward(()).apply({}, carry, inputs)[1], inputs)


def test_feed_forward_applies_the_activation_it_is_given():
    params, carry, inputs = _started(FeedForward((4,), activation=nn.relu), 3, 5)
    outputs = FeedForward((4,), activation=nn.relu).apply({"params": params}, carry, inputs)[1]
    raw = FeedForward((4,), activation=lambda x: x).apply({"params": params}, carry, inputs)[1]
    np.testing.assert_array_equal(outputs, np.maximum(raw, 0))


def test_dropout_drops_only_when_given_a_dropout_key_and_scales_what_stays():
    cell = FeedForward((400,), dropout_rate=0.25)
    params, carry, inputs = _started(cell, 2, 5)
    quiet = cell.apply({"params": params}, carry, inputs)[1]
    plain = FeedForward((400,)).apply({"params": params}, carry, inputs)[1]
    np.testing.assert_array_equal(quiet, plain)
    noisy = cell.apply({"params": params}, carry, inputs, rngs={"dropout": jax.random.key(0)})[1]
    dropped = np.asarray(noisy == 0)
    assert 0.18 < dropped.mean() < 0.32  # 0.25 with a deviation of 0.015
    np.testing.assert_allclose(noisy[~dropped], plain[~dropped] / 0.75, rtol=1e-6)


def test_lstm_is_the_lstm_of_the_oracle():
    params, carry, inputs = _started(LSTM(4), 5)
    (c, h), outputs = LSTM(4).apply({"params": params}, carry, inputs)
    want, _ = reference.lstm(reference.float64(params), reference.float64(carry), inputs)
    np.testing.assert_allclose(c, want[0], **ROUNDING)
    np.testing.assert_allclose(h, want[1], **ROUNDING)
    np.testing.assert_array_equal(outputs, h)


def test_lstm_equals_flaxs_lstm_with_the_same_weights():
    size = 4
    params, carry, inputs = _started(LSTM(size), 2, 5)
    kernels = np.split(np.asarray(params["Dense_0"]["kernel"]), 4, axis=1)
    biases = np.split(np.asarray(params["Dense_0"]["bias"]), 4)
    theirs = {}
    for name, kernel, bias in zip("ifgo", kernels, biases, strict=True):
        theirs[f"i{name}"] = {"kernel": kernel[:5]}
        theirs[f"h{name}"] = {"kernel": kernel[5:], "bias": bias}
    want = nn.LSTMCell(size).apply({"params": theirs}, carry, inputs)
    got = LSTM(size).apply({"params": params}, carry, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **ROUNDING), got, want)


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, -2.0])
def test_lstm_starts_its_forget_gate_alone_at_the_bias_asked_for(forget_bias):
    cell = LSTM(3, forget_bias=forget_bias)
    carry = cell.initialize_carry(jax.random.key(0), (5,))
    params = cell.init(jax.random.key(0), carry, jnp.zeros(5))["params"]
    want = [0.0] * 3 + [forget_bias] * 3 + [0.0] * 6
    np.testing.assert_array_equal(params["Dense_0"]["bias"], want)
    # With no input and no hidden state the gate is the sigmoid of the bias.
    (c, _), _ = cell.apply({"params": params}, (jnp.ones(3), jnp.zeros(3)), jnp.zeros(5))
    np.testing.assert_allclose(c, reference.sigmoid(np.full(3, forget_bias)), rtol=1e-6)


def test_stack_feeds_each_cell_the_one_below():
    cells = LSTM(4), FeedForward((3,))
    params, carry, inputs = _started(Stack(cells), 2, 5)
    following, outputs = Stack(cells).apply({"params": params}, carry, inputs)
    lower, hidden = cells[0].apply({"params": params["cells_0"]}, carry[0], inputs)
    _, want = cells[1].apply({"params": params["cells_1"]}, carry[1], hidden)
    np.testing.assert_allclose(outputs, want, **ROUNDING)
    np.testing.assert_allclose(following[0][0], lower[0], **ROUNDING)


def test_stack_with_skips_gives_every_cell_the_input_and_shows_every_output():
    cells = LSTM(4), LSTM(3)
    params, carry, inputs = _started(Stack(cells, skip=True), 2, 5)
    _, outputs = Stack(cells, skip=True).apply({"params": params}, carry, inputs)
    _, first = cells[0].apply({"params": params["cells_0"]}, carry[0], inputs)
    seen = np.concatenate([inputs, first], axis=-1)
    _, second = cells[1].apply({"params": params["cells_1"]}, carry[1], seen)
    np.testing.assert_allclose(outputs, np.concatenate([first, second], -1), **ROUNDING)


def test_stack_refuses_a_carry_of_another_number_of_cells():
    cell = Stack([LSTM(4), LSTM(3)])
    params, carry, inputs = _started(cell, 2, 5)
    with pytest.raises(ValueError, match="shorter"):
        cell.apply({"params": params}, carry[:1], inputs)


@pytest.mark.parametrize(
    "cell", [FeedForward((4,), dtype=jnp.bfloat16), LSTM(4, dtype=jnp.bfloat16)], ids=["ff", "lstm"]
)
def test_bfloat16_is_for_the_computation_and_leaves_parameters_and_carry_float32(cell):
    params, carry, inputs = _started(cell, 2, 5)
    exact = cell.clone(dtype=None).apply({"params": params}, carry, inputs)[1]
    following, outputs = cell.apply({"params": params}, carry, inputs)
    for leaf in jax.tree.leaves((params, carry, following)):
        assert leaf.dtype == jnp.float32
    # bfloat16 keeps 8 bits: the same to about one part in 100, and not the same number.
    np.testing.assert_allclose(np.float32(outputs), exact, atol=0.1)
    assert (np.float32(outputs) != np.asarray(exact)).any()


@every_controller
def test_gradients_reach_every_parameter_and_are_finite(cell):
    params, carry, inputs = _started(cell, 2, 5)
    gradients = jax.grad(lambda p: jnp.sum(cell.apply({"params": p}, carry, inputs)[1] ** 2))(
        params
    )
    assert strategies.all_finite(gradients)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))
