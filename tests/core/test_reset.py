"""Resets in the middle of a sequence equal a fresh run, and stop the gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import strategies
from support.runs import trees_equal

from ntm_jax import LSTM, NTM, RNN, FeedForward, NTMCell, ResetCell, Stack

NUM_STEPS, START = 12, 6  # an unrolled scan compiles each of its three steps differently
CONTROLLERS = {
    "feed_forward": lambda: FeedForward((6,)),
    "lstm": lambda: LSTM(6),
    "flax_lstm": lambda: nn.OptimizedLSTMCell(6),
    "flax_gru": lambda: nn.GRUCell(6),
    "stack": lambda: Stack((LSTM(5), nn.GRUCell(4))),
}


def make_cell(controller):
    cell = CONTROLLERS[controller]()
    return NTMCell(3, cell, num_slots=7, slot_width=4, num_read_heads=2, num_write_heads=2)


def make_inputs(batch=2):
    return jax.random.normal(jax.random.key(1), (batch, NUM_STEPS, 3))


def make_params(model, inputs):
    """Returns parameters that are all random, so that the learned carries are not the default."""
    return {"params": strategies.init_random_params(model, inputs)}


def models():
    cell = make_cell("lstm")
    learned = ("controller", "memory", "head")
    by_name = {
        **{name: NTM(make_cell(name)) for name in CONTROLLERS},
        "learned": NTM(cell, learned_init=learned),
        "remat": NTM(cell, remat=True),
        "chunks": NTM(cell, remat_chunk_size=4),
        "unroll": NTM(cell, unroll=3),
        "rnn-learned": RNN(LSTM(5), learn_carry=True),
    }
    return [pytest.param(model, id=name) for name, model in by_name.items()]


@pytest.mark.parametrize("model", models())
def test_reset_equals_a_fresh_run(model):
    inputs = make_inputs()
    variables = make_params(model, inputs)
    reset = jnp.zeros((2, NUM_STEPS), bool).at[0, START].set(True)
    carry, outputs = model.apply(variables, inputs, return_carry=True, reset=reset)

    def without_reset(inputs):
        # The same program, because XLA compiles an unrolled scan without resets differently.
        never = jnp.zeros(inputs.shape[:2], bool)
        return model.apply(variables, inputs, return_carry=True, reset=never)

    fresh_carry, fresh = without_reset(inputs[:, START:])
    plain_carry, plain = without_reset(inputs)
    np.testing.assert_array_equal(outputs[0, :START], plain[0, :START])
    np.testing.assert_array_equal(outputs[0, START:], fresh[0])
    np.testing.assert_array_equal(outputs[1], plain[1])
    rows = jax.tree.map(lambda new, old: jnp.stack([new[0], old[1]]), fresh_carry, plain_carry)
    assert trees_equal(carry, rows)
    assert np.abs(outputs[0, START:] - plain[0, START:]).max() > 1e-4


@pytest.mark.parametrize("model", [m for m in models() if "flax" not in m.id])
def test_no_gradient_crosses_a_reset(model):
    inputs = make_inputs()
    variables = make_params(model, inputs)
    reset = jnp.zeros((2, NUM_STEPS), bool).at[0, START].set(True)
    carry = model.apply(variables, inputs, return_carry=True)[0]

    def late_loss(inputs, carry):
        outputs = model.apply(variables, inputs, initial_carry=carry, reset=reset)
        return jnp.sum(jnp.square(outputs[:, START:]))

    d_inputs, d_carry = jax.grad(late_loss, (0, 1))(inputs, carry)
    assert not np.any(d_inputs[0, :START])
    assert not any(np.any(leaf[0]) for leaf in jax.tree.leaves(d_carry))
    assert np.all(np.any(d_inputs[0, START:], axis=-1))
    assert np.all(np.any(d_inputs[1], axis=-1))
    assert any(np.any(leaf[1]) for leaf in jax.tree.leaves(d_carry))


def test_reset_comes_before_the_mask():
    model, inputs = NTM(make_cell("lstm")), make_inputs()
    variables = make_params(model, inputs)
    last = jnp.zeros((2, NUM_STEPS), bool).at[:, -1].set(True)
    carry, outputs = model.apply(variables, inputs, ~last, return_carry=True, reset=last)
    initial = model.cell.initialize_carry(jax.random.key(0), (2, 3))
    assert trees_equal(carry, initial)
    assert not np.any(outputs[:, -1])


def test_gradient_of_learned_init_after_a_reset():
    model, inputs = NTM(make_cell("lstm"), learned_init=("memory",)), make_inputs()
    variables = make_params(model, inputs)
    carry = model.apply(variables, inputs, return_carry=True)[0]
    first = jnp.zeros((2, NUM_STEPS), bool).at[:, 0].set(True)

    def loss(variables, **options):
        return jnp.sum(jnp.square(model.apply(variables, inputs, **options)))

    fresh = jax.grad(loss)(variables)
    reset = jax.grad(loss)(variables, initial_carry=carry, reset=first)
    assert np.any(fresh["params"]["initial_memory"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), fresh, reset)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_reset_cell_under_flax_rnn(controller):
    cell, inputs = make_cell(controller), make_inputs()
    reset = jax.random.bernoulli(jax.random.key(3), 0.3, (2, NUM_STEPS))
    flags = jnp.expand_dims(reset, -1).astype(inputs.dtype)
    both = jnp.concatenate([inputs, flags], axis=-1)
    flax_rnn, model = nn.RNN(ResetCell(cell)), NTM(cell)
    variables = make_params(model, inputs)
    nested = {"params": {"cell": variables["params"]}}
    assert jax.tree.structure(flax_rnn.init(jax.random.key(0), both)) == jax.tree.structure(nested)
    np.testing.assert_array_equal(
        flax_rnn.apply(nested, both), model.apply(variables, inputs, reset=reset)
    )


def test_reset_of_another_shape_raises():
    model, inputs = NTM(make_cell("lstm")), make_inputs()
    with pytest.raises(ValueError) as error:
        model.init(jax.random.key(0), inputs, reset=jnp.zeros((2,), bool))
    assert str(error.value) == f"reset: expected shape (2, {NUM_STEPS}), got (2,)"


def test_reset_cell_of_no_cell_raises():
    with pytest.raises(TypeError) as error:
        ResetCell(NTM(make_cell("lstm")))
    assert str(error.value) == "cell: expected an RNN cell, such as LSTM(100), got NTM"


def test_seq_lengths_equal_a_mask():
    model, inputs = NTM(make_cell("lstm")), make_inputs()
    variables, lengths = make_params(model, inputs), jnp.array([4, 12])
    mask = jnp.arange(NUM_STEPS) < lengths[:, None]
    by_length = model.apply(variables, inputs, seq_lengths=lengths, return_carry=True)
    assert trees_equal(by_length, model.apply(variables, inputs, mask, return_carry=True))
    # Flax's final carry, and its outputs up to the length, are the same.
    carry, outputs = nn.RNN(model.cell).apply(
        variables, inputs, seq_lengths=lengths, return_carry=True
    )
    assert trees_equal(carry, by_length[0])
    np.testing.assert_array_equal(jnp.where(mask[..., None], outputs, 0.0), by_length[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": jnp.ones((2, NUM_STEPS), bool)}, "seq_lengths: expected None with a mask, got"),
        ({"seq_lengths": jnp.ones((3,), int)}, "seq_lengths: expected shape (2,), got (3,)"),
    ],
)
def test_wrong_seq_lengths_raise(options, message):
    model, inputs = NTM(make_cell("lstm")), make_inputs()
    options = {"seq_lengths": jnp.ones((2,), int), **options}
    with pytest.raises(ValueError) as error:
        model.init(jax.random.key(0), inputs, **options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("field", [False, True])
def test_time_major_moves_the_time_axis(field):
    model, inputs = NTM(make_cell("lstm"), remat_chunk_size=3), make_inputs()
    variables = make_params(model, inputs)
    mask = jax.random.bernoulli(jax.random.key(3), 0.7, (2, NUM_STEPS))
    reset = jax.random.bernoulli(jax.random.key(4), 0.3, (2, NUM_STEPS))
    carry, outputs = model.apply(variables, inputs, mask, None, True, reset=reset)
    moved = model.clone(time_major=field)
    options = {} if field else {"time_major": True}
    moved_carry, moved_outputs = moved.apply(
        variables, jnp.swapaxes(inputs, 0, 1), mask.T, None, True, reset=reset.T, **options
    )
    np.testing.assert_array_equal(jnp.swapaxes(moved_outputs, 0, 1), outputs)
    assert trees_equal(moved_carry, carry)


class NormalizedController(nn.RNNCellBase):
    """A feed-forward controller with batch normalization."""

    @nn.compact
    def __call__(self, carry, inputs):
        return carry, nn.BatchNorm(use_running_average=False)(nn.Dense(6)(inputs))

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return ()

    num_feature_axes = 1


def test_batch_statistics_pass_from_step_to_step():
    cell = NTMCell(3, NormalizedController(), num_slots=7, slot_width=4)
    model, inputs = NTM(cell, variable_carry="batch_stats"), make_inputs(batch=4)
    variables = model.init(jax.random.key(0), inputs)
    outputs, updated = model.apply(variables, inputs, mutable=["batch_stats"])
    state, expected = cell.initialize_carry(jax.random.key(0), (4, 3)), variables
    for step in range(NUM_STEPS):
        (state, output), statistics = cell.apply(
            {"params": variables["params"]["cell"], **_inner(expected)},
            state,
            inputs[:, step],
            mutable=["batch_stats"],
        )
        expected = {"batch_stats": {"cell": statistics["batch_stats"]}}
        np.testing.assert_allclose(outputs[:, step], output, rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        updated["batch_stats"],
        expected["batch_stats"],
    )


def _inner(variables):
    return {"batch_stats": variables["batch_stats"]["cell"]}


def test_random_init_is_the_same_after_a_reset():
    cell = make_cell("lstm").clone(memory_init=nn.initializers.normal(0.1))
    model, inputs = NTM(cell), make_inputs()
    variables = make_params(model, inputs)
    always = jnp.ones((2, NUM_STEPS), bool)
    outputs = model.apply(variables, inputs, reset=always)
    for step in range(NUM_STEPS):
        alone = model.apply(variables, inputs[:, step : step + 1])
        np.testing.assert_array_equal(outputs[:, step], alone[:, 0])
