"""Two rules of memory access of one's own, against oracles in NumPy, and wherever NTMCell works."""

import dataclasses
import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference, strategies
from support.examples import load_example
from support.runs import trees_equal
from support.tiny_config import tiny_config

from ntm_jax import LSTM, NTM, trace
from ntm_jax.training.experiment import Experiment

example = load_example("own_addressing")
CELLS = [example.ContentCell, example.LRUCell]
SIZES = {"num_slots": 6, "slot_width": 4, "num_read_heads": 3, "num_write_heads": 2}
both_cells = pytest.mark.parametrize("cell_class", CELLS)


def make_model(cell_class, **fields):
    return NTM(cell_class(5, LSTM(7), **SIZES), **fields)


def make_inputs(num_steps=8):
    return jax.random.normal(jax.random.key(1), (2, num_steps, 3))


def make_variables(model):
    return {"params": strategies.init_random_params(model, make_inputs())}


def content_weights(memory, head):
    pairs = zip(head.key, head.strength, strict=True)
    return np.array([reference.content_weights(memory, key, strength) for key, strength in pairs])


def content_oracle(memory, step):
    write_weights = content_weights(memory, step.write)
    memory = reference.write(memory, write_weights, step.erase, step.add)
    return memory, content_weights(memory, step.read), write_weights


def lru_oracle(memory, step, read_weights, usage, decay):
    """Santoro et al. (2016), section 3.2, with loops over heads and slots."""
    memory, unused = memory.copy(), sorted(range(len(memory)), key=lambda i: (usage[i], i))
    write_weights = np.zeros((2, len(memory)))
    for head in range(2):
        gate = step.write.gate[head]
        write_weights[head] = gate * read_weights[head]
        write_weights[head, unused[head]] += 1 - gate
        memory[unused[head]] = 0
    for head in range(2):
        for slot in range(len(memory)):
            memory[slot] += write_weights[head, slot] * step.add[head]
    read_weights = content_weights(memory, step.read)
    usage = decay * usage + read_weights.sum(axis=0) + write_weights.sum(axis=0)
    return memory, read_weights, write_weights, usage


def traced(cell_class):
    """Returns the trace of the first example, in float64, by step."""
    model = make_model(cell_class)
    _, steps = trace(model, make_variables(model)["params"], make_inputs())
    return [
        jax.tree.map(lambda leaf, t=t: np.asarray(leaf[0, t], np.float64), steps) for t in range(8)
    ]


def assert_step(step, memory, read_weights, write_weights):
    np.testing.assert_allclose(step.write_weights, write_weights, atol=1e-5)
    np.testing.assert_allclose(step.memory, memory, atol=1e-5)
    np.testing.assert_allclose(step.read_weights, read_weights, atol=1e-5)
    np.testing.assert_allclose(step.read_vectors, read_weights @ memory, atol=1e-5)


def initial_memory():
    memory = np.zeros((6, 4))
    memory[0] = 0.1
    return memory


def test_content_cell_matches_the_oracle():
    memory = initial_memory()
    for step in traced(example.ContentCell):
        memory, *weights = content_oracle(memory, step.interface)
        assert_step(step, memory, *weights)


def test_lru_cell_matches_the_oracle():
    memory, usage, read_weights = initial_memory(), np.zeros(6), np.eye(6)[[0, 0, 0]]
    for step in traced(example.LRUCell):
        memory, read_weights, write_weights, usage = lru_oracle(
            memory, step.interface, read_weights, usage, 0.95
        )
        assert_step(step, memory, read_weights, write_weights)


@both_cells
def test_rule_has_at_most_40_lines(cell_class):
    assert len(inspect.getsource(cell_class).splitlines()) <= 40


@both_cells
def test_masked_steps_change_nothing(cell_class):
    model, inputs = make_model(cell_class), make_inputs()
    variables = make_variables(model)
    keep = jnp.arange(8) != 3
    mask = jnp.broadcast_to(keep, (2, 8))
    state, outputs = model.apply(variables, inputs, mask, return_carry=True)
    other, shorter = model.apply(variables, inputs[:, keep], return_carry=True)
    np.testing.assert_array_equal(outputs[:, keep], shorter)
    assert trees_equal(state, other)


@both_cells
def test_reset_and_flax_rnn(cell_class):
    model, inputs = make_model(cell_class), make_inputs()
    variables = make_variables(model)
    outputs = model.apply(variables, inputs, reset=jnp.zeros((2, 8), bool).at[:, 5].set(True))
    np.testing.assert_array_equal(outputs[:, 5:], model.apply(variables, inputs[:, 5:]))
    flax_outputs = nn.RNN(model.cell).apply(variables, inputs)
    np.testing.assert_array_equal(flax_outputs, model.apply(variables, inputs))


@both_cells
def test_bfloat16_inputs_keep_a_float32_carry(cell_class):
    model = make_model(cell_class)
    variables, inputs = make_variables(model), make_inputs().astype(jnp.bfloat16)
    state, outputs = model.apply(variables, inputs, return_carry=True)
    assert {leaf.dtype for leaf in jax.tree.leaves((state, outputs))} == {jnp.dtype("float32")}


@both_cells
def test_trainer_trains_the_cell(cell_class, optax_promotion):
    experiment = Experiment.from_config(tiny_config())
    features = experiment.task.output_features
    model = NTM(cell_class(features, LSTM(7), **SIZES))
    trainer = dataclasses.replace(
        experiment, model=model, train_models=(model,), num_slots=6
    ).make_trainer()
    _, metrics = trainer.run(trainer.init(), 30)
    losses = np.asarray(metrics.loss).ravel()
    assert np.isfinite(losses).all()
    assert losses[-5:].mean() < losses[:5].mean()


def test_lru_cell_learns(optax_promotion):
    before, after = example.train(example.LRUCell, num_steps=150)
    assert after < 0.95 * before
