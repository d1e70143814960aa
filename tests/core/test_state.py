"""States with another memory, and with more slots."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax import NTM, FeedForward, NTMCell, enlarge_memory, select_carry, with_memory


def make_cell(num_slots=6, **fields):
    return NTMCell(3, FeedForward((5,)), num_slots=num_slots, slot_width=4, **fields)


def make_state(batch=(2,), seed=0):
    """Returns a state whose leaves are all random, with weightings on the simplex."""
    cell = make_cell(num_read_heads=2)
    state = cell.initialize_carry(jax.random.key(0), (*batch, 3))
    keys = jax.random.split(jax.random.key(seed), 3)
    return state._replace(
        memory=jax.random.normal(keys[0], state.memory.shape),
        read_weights=jax.nn.softmax(jax.random.normal(keys[1], state.read_weights.shape)),
        write_weights=jax.nn.softmax(jax.random.normal(keys[2], state.write_weights.shape)),
    )


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("shared", [True, False])
def test_with_memory_reads_the_new_memory(batch, shared):
    state = make_state(batch)
    memory = jax.random.normal(jax.random.key(5), (6, 4) if shared else (*batch, 6, 4))
    new = with_memory(state, memory)
    np.testing.assert_array_equal(new.memory, np.broadcast_to(memory, (*batch, 6, 4)))
    expected = np.einsum("...rn,...nm->...rm", state.read_weights, new.memory)
    np.testing.assert_allclose(new.read_vectors, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(new.read_weights, state.read_weights)
    np.testing.assert_array_equal(new.write_weights, state.write_weights)


def test_with_memory_keeps_dtypes():
    state = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), make_state())
    new = with_memory(state, np.ones((6, 4)))
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("shape", [(5, 4), (6,), (3, 6, 4), (2, 6, 3), (1, 2, 6, 4)])
def test_memory_of_another_shape_raises(shape):
    with pytest.raises(ValueError) as error:
        with_memory(make_state(), jnp.zeros(shape))
    assert str(error.value) == f"memory: expected shape (6, 4) or (2, 6, 4), got {shape}"


def test_initial_memory_equals_a_memory_init():
    """A state with a given memory runs as a cell whose initializer returns this memory."""
    memory = jax.random.normal(jax.random.key(5), (6, 4))
    plain, given = make_cell(), make_cell(memory_init=lambda key, shape, dtype: memory)
    inputs = jax.random.normal(jax.random.key(1), (2, 7, 3))
    variables = nn.RNN(plain).init(jax.random.key(0), inputs)
    state = with_memory(plain.initialize_carry(jax.random.key(0), (2, 3)), memory)
    np.testing.assert_array_equal(
        nn.RNN(plain).apply(variables, inputs, initial_carry=state),
        nn.RNN(given).apply(variables, inputs),
    )


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_enlarged_memory_is_padded(batch):
    state = make_state(batch)
    new = enlarge_memory(state, 9, value=0.5)
    np.testing.assert_array_equal(new.memory[..., :6, :], state.memory)
    np.testing.assert_array_equal(new.memory[..., 6:, :], np.full((*batch, 3, 4), 0.5))
    for name in ("read_weights", "write_weights"):
        np.testing.assert_array_equal(getattr(new, name)[..., :6], getattr(state, name))
        assert not np.any(getattr(new, name)[..., 6:])
    np.testing.assert_array_equal(new.read_vectors, state.read_vectors)


def test_enlarged_state_continues_a_run():
    """Slots that the heads do not reach make no difference: as if they had been there before."""
    cell = make_cell(gate_bias=-20.0, shift_bias=20.0)  # each head moves to the next slot
    inputs = jax.random.normal(jax.random.key(1), (2, 4, 3))
    model, large = NTM(cell), NTM(cell.clone(num_slots=12))
    variables = model.init(jax.random.key(0), inputs)
    state, _ = model.apply(variables, inputs[:, :2], return_carry=True)
    outputs = large.apply(variables, inputs[:, 2:], initial_carry=enlarge_memory(state, 12))
    expected = large.apply(variables, inputs)[:, 2:]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    same = model.apply(variables, inputs[:, 2:], initial_carry=enlarge_memory(state, 6))
    np.testing.assert_array_equal(same, model.apply(variables, inputs[:, 2:], initial_carry=state))


@pytest.mark.parametrize(
    ("num_slots", "error", "message"),
    [
        (5, ValueError, "num_slots: expected at least 6, got 5"),
        (7.0, TypeError, "num_slots: expected an integer, got 7.0"),
    ],
)
def test_invalid_number_of_slots_raises(num_slots, error, message):
    with pytest.raises(error) as raised:
        enlarge_memory(make_state(), num_slots)
    assert str(raised.value) == message


def test_select_carry_selects_by_example():
    one, other = make_state(seed=1), make_state(seed=2)
    condition = jnp.array([True, False])
    selected = select_carry(condition, one, other)
    for leaf, first, second in zip(*map(jax.tree.leaves, (selected, one, other)), strict=True):
        np.testing.assert_array_equal(leaf, np.stack([first[0], second[1]]))


def test_select_carry_broadcasts_one_example():
    one, other = make_state(batch=(), seed=1), make_state(seed=2)
    condition = jnp.array([True, False])
    selected = select_carry(condition, one, other)
    for leaf, first, second in zip(*map(jax.tree.leaves, (selected, one, other)), strict=True):
        np.testing.assert_array_equal(leaf, np.stack([first, second[1]]))
