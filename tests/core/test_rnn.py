"""RNN with cells other than an NTM; test_models.py tests the scan itself."""

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import strategies

from ntm_jax import models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.models import NTM
from ntm_jax.rnn import RNN

BATCH, STEPS, INPUTS = 2, 5, 4


def _inputs():
    return jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS))


def test_dropout_differs_between_steps():
    model = RNN(FeedForward((50,), dropout_rate=0.5, deterministic=False))
    inputs = jnp.ones((STEPS, INPUTS))
    params = strategies.init_random_params(model, inputs)
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


# Dropout and addressing noise: a missing key raises, as in Flax, and never turns them off.

DROPOUT = FeedForward((4,), dropout_rate=0.5, deterministic=False)
NOISY = NTM(NTMCell(3, LSTM(3), num_slots=5, slot_width=2), addressing_noise_std=1.0)
NO_KEY = 'needs PRNG for "dropout"'
KEYS = {"dropout": jax.random.key(0)}


@pytest.mark.parametrize(
    ("model", "rngs", "message"),
    [
        (nn.RNN(DROPOUT), KEYS, NO_KEY),  # its scan passes on no key without `split_rngs`
        (RNN(DROPOUT, split_rngs={"params": False}), KEYS, NO_KEY),
        (RNN(DROPOUT), {}, NO_KEY),
        (RNN(DROPOUT), {"droput": jax.random.key(0)}, NO_KEY),
        (RNN(Stack((DROPOUT, LSTM(3)))), {}, NO_KEY),
        (NTM(NTMCell(3, DROPOUT, num_slots=5, slot_width=2)), {}, NO_KEY),
        (RNN(DROPOUT.clone(deterministic=None)), KEYS, '"deterministic" must be passed'),
        (NOISY.clone(deterministic=False), {}, NO_KEY),
        (NOISY.clone(deterministic=False), {"noise": jax.random.key(0)}, NO_KEY),
        (NOISY, KEYS, '"deterministic" must be passed'),
    ],
)
def test_missing_dropout_key_raises(model, rngs, message):
    with pytest.raises((flax.errors.InvalidRngError, ValueError), match=message):
        params = strategies.init_random_params(model, _inputs())
        model.apply({"params": params}, _inputs(), rngs=rngs)


@pytest.mark.parametrize(
    "model", [RNN(DROPOUT.clone(deterministic=True)), NOISY.clone(deterministic=True)]
)
def test_deterministic_models_need_no_key(model):
    params = strategies.init_random_params(model, _inputs())
    apply = jax.jit(lambda rngs: model.apply({"params": params}, _inputs(), rngs=rngs))
    np.testing.assert_array_equal(apply({}), apply(KEYS))


# Arguments that are no cells, sizes or carries.

CELL = NTMCell(3, LSTM(4), num_slots=5, slot_width=2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NTMCell(3, LSTM), "controller: expected an RNN cell, .* got the class LSTM"),
        (lambda: NTMCell(3, nn.Dense(4)), "controller: expected an RNN cell, .* got Dense"),
        (lambda: NTMCell(3, nn.Sequential([])), "controller: expected an .* got Sequential"),
        (lambda: NTMCell(3, "lstm"), "controller: expected an RNN cell, .* got str"),
        (lambda: NTMCell(3, None), "controller: expected an RNN cell, .* got NoneType"),
        (
            lambda: NTMCell(3, nn.ConvLSTMCell(4, (3, 3))),
            "controller: expected an RNN cell with one feature axis, got ConvLSTMCell with 3",
        ),
        (lambda: RNN(nn.ConvLSTMCell(4, (3,))), "cell: .* one feature axis, got ConvLSTMCell wi"),
        (lambda: RNN(LSTM), "cell: expected an RNN cell, .* got the class LSTM"),
        (lambda: Stack((LSTM(3), nn.Dense(4))), "cells: expected an RNN cell, .* got Dense"),
        (lambda: Stack(LSTM(3)), "cells: expected a tuple of cells, got LSTM"),
        (lambda: NTMCell(4.0, LSTM(3)), "features: expected an integer, got 4.0"),
        (lambda: NTMCell(3, LSTM(3), num_slots="9"), "num_slots: expected an integer, got '9'"),
        (lambda: NTMCell(3, LSTM(3), max_shift=None), "max_shift: expected an integer, got None"),
        (lambda: LSTM(4.0), "features: expected an integer, got 4.0"),
        (lambda: RNN(LSTM(3), 2.5), "features: expected an integer, got 2.5"),
        (lambda: FeedForward(100), "hidden_sizes: expected a tuple of sizes, got 100"),
        (lambda: FeedForward((4, 2.0)), r"hidden_sizes: expected an integer, got \(4, 2.0\)"),
        (lambda: NTM(nn.GRUCell(4)), "cell: expected an NTMCell, got GRUCell; use RNN"),
        (lambda: NTM(LSTM(4)), "cell: expected an NTMCell, got LSTM; use RNN"),
        (lambda: NTM(NTMCell), "cell: expected an NTMCell, got the class NTMCell"),
        (lambda: models.trace(RNN(LSTM(4)), {}, _inputs()), "model: expected an NTM, got RNN"),
        (lambda: models.trace(CELL, {}, _inputs()), "model: expected an NTM, got NTMCell"),
        (
            lambda: RNN(CELL, learn_carry=True).init(jax.random.key(0), _inputs()),
            "learn_carry: expected False for an NTMCell, .* got True; use NTM with learned_init",
        ),
        (
            lambda: RNN(Stack((CELL, LSTM(3))), learn_carry=True).init(
                jax.random.key(0), _inputs()
            ),
            "learn_carry: expected False for an NTMCell, .* got True; use NTM with learned_init",
        ),
    ],
)
def test_wrong_argument_is_named(build, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        build()


STATE = CELL.initialize_carry(jax.random.key(0), (BATCH, INPUTS))


@pytest.mark.parametrize(
    ("cell", "carry", "message"),
    [
        (CELL, None, "carry: expected an NTMState, got NoneType"),
        (CELL, tuple(STATE), "carry: expected an NTMState, got tuple"),
        (CELL, STATE._asdict(), "carry: expected an NTMState, got dict"),
        (CELL, _inputs(), "carry: expected an NTMState, got an array"),
        (CELL, STATE._replace(memory=None), r"carry.memory: expected shape .*, got \(\)"),
        (CELL, STATE._replace(controller=()), r"carry: expected shapes .*, got \(\)"),
        (LSTM(4), None, r"carry: expected shapes \(\(2, 4\), \(2, 4\)\), got None"),
        (LSTM(4), STATE, "carry: expected shapes .*, got NTMState"),
        (LSTM(4), _inputs(), r"carry: expected shapes .*, got \(2, 5, 4\)"),
        (LSTM(4), LSTM(3).initialize_carry(None, (BATCH, INPUTS)), r".* got \(\(2, 3\), \(2, 3\)"),
        (LSTM(4), {"c": 0.0, "h": 0.0}, "carry: expected shapes .*, got {'c'"),
        (FeedForward((4,)), None, r"carry: expected \(\), got NoneType"),
        (FeedForward((4,)), _inputs(), r"carry: expected \(\), got an array"),
        (Stack((LSTM(4),)), None, "carry: expected a tuple of 1 parts, got NoneType"),
        (Stack((LSTM(4),)), STATE.controller, "carry: expected a tuple of 1 parts, got 2 parts"),
    ],
)
def test_wrong_carry_is_named(cell, carry, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        cell.init(jax.random.key(0), carry, _inputs()[:, 0])
    if carry is not None:  # that is the default of a sequence
        with pytest.raises(ValueError, match=f"^{message}"):
            RNN(cell).init(jax.random.key(0), _inputs(), None, carry)
