"""Cells other than the machine's; what is asked of the scan itself is in test_models.py."""

import functools

from support import strategies
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.rnn import Recurrent

BATCH, STEPS, INPUTS = 2, 5, 4


def _inputs():
    return jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS))


@functools.partial(jax.jit, static_argnums=0)
def _run(model, params, mask=None):
    return model.apply({"params": params}, _inputs(), mask, return_carry=True)


def test_dropout_is_active_only_with_its_key_and_anew_at_every_step():
    model = Recurrent(FeedForward((50,), dropout_rate=0.5))
    same = jnp.ones((STEPS, INPUTS))
    params = strategies.parameters(model, same)
    quiet = model.apply({"params": params}, same)
    np.testing.assert_array_equal(quiet, np.broadcast_to(quiet[0], quiet.shape))
    noisy = model.apply({"params": params}, same, rngs={"dropout": jax.random.key(0)})
    dropped = np.asarray(noisy) == 0
    assert len(np.unique(dropped, axis=0)) == STEPS


def test_the_same_harness_drives_an_lstm_as_flax_does():
    cell = nn.OptimizedLSTMCell(3)
    params = strategies.parameters(Recurrent(cell), _inputs())
    lengths = jnp.array([STEPS, 2])
    mask = jnp.arange(STEPS) < lengths[:, None]
    carry, outputs = _run(Recurrent(cell), params, mask)
    rnn = nn.RNN(cell, return_carry=True)
    run = jax.jit(lambda p, x: rnn.apply({"params": p}, x, seq_lengths=lengths))
    want, wanted_outputs = run(params, _inputs())
    wanted_outputs = jnp.where(mask[..., None], wanted_outputs, 0.0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        (carry, outputs),
        (want, wanted_outputs),
    )


def test_a_stack_may_hold_a_machine_between_other_cells():
    model = Recurrent(Stack((LSTM(3), NTMCell(3, LSTM(3), num_slots=5, slot_width=2))), features=2)
    params = strategies.parameters(model, _inputs())
    carry, outputs = _run(model, params)
    assert outputs.shape == (BATCH, STEPS, 2)
    assert strategies.all_finite((carry, outputs))
