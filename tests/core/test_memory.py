import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.test_util import check_grads
from support import reference, strategies

from ntm_jax import memory as memory_ops

# Values are below 10 in size and sums have at most 5 terms: a few float32 roundings of 6e-8 each.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


@hypothesis.given(st.data())
def test_read_is_equation_2(data):
    num_slots, width = data.draw(strategies.num_slots), data.draw(strategies.slot_widths)
    memory = data.draw(strategies.reals(num_slots, width))
    weights = data.draw(strategies.simplex(num_slots))
    got = jax.jit(memory_ops.read)(memory, weights)
    np.testing.assert_allclose(got, reference.read(memory, weights), **ROUNDING)


@pytest.mark.parametrize("name", ["erase", "add"])
@hypothesis.given(data=st.data())
def test_erase_and_add_are_equations_3_and_4(name, data):
    num_slots, width = data.draw(strategies.num_slots), data.draw(strategies.slot_widths)
    memory = data.draw(strategies.reals(num_slots, width))
    weights = data.draw(strategies.simplex(num_slots))
    vector = data.draw(strategies.units(width) if name == "erase" else strategies.reals(width))
    got = jax.jit(getattr(memory_ops, name))(memory, weights, vector)
    want = getattr(reference, name)(memory, weights, vector)
    np.testing.assert_allclose(got, want, **ROUNDING)


@hypothesis.given(st.data())
def test_write_erases_then_adds_in_any_head_order(data):
    num_slots, width = data.draw(strategies.num_slots), data.draw(strategies.slot_widths)
    num_heads = data.draw(strategies.num_heads)
    memory = data.draw(strategies.reals(num_slots, width))
    weights = data.draw(strategies.simplex(num_heads, num_slots))
    erases = data.draw(strategies.units(num_heads, width))
    adds = data.draw(strategies.reals(num_heads, width))
    got = jax.jit(memory_ops.write)(memory, weights, erases, adds)
    np.testing.assert_allclose(got, reference.write(memory, weights, erases, adds), **ROUNDING)
    order = np.array(data.draw(st.permutations(range(num_heads))))
    reordered = jax.jit(memory_ops.write)(memory, weights[order], erases[order], adds[order])
    np.testing.assert_allclose(got, reordered, **ROUNDING)


def test_add_survives_another_heads_erase():
    memory = jnp.array([[5.0, 5.0], [7.0, 7.0]])
    weights = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    erases = jnp.array([[0.0, 0.0], [1.0, 1.0]])
    adds = jnp.array([[1.0, 2.0], [0.0, 0.0]])
    written = memory_ops.write(memory, weights, erases, adds)
    np.testing.assert_array_equal(written, [[1.0, 2.0], [7.0, 7.0]])


def test_full_erase_and_add_replace_one_slot():
    memory = jnp.asarray(strategies.normal(0, 4, 3))
    weights = jax.nn.one_hot(jnp.array([2]), 4)
    vector = jnp.array([[9.0, -8.0, 7.0]])
    written = memory_ops.write(memory, weights, jnp.ones((1, 3)), vector)
    np.testing.assert_array_equal(written, memory.at[2].set(vector[0]))


def test_one_hot_read_returns_the_slot():
    memory = jnp.asarray(strategies.normal(0, 4, 3))
    np.testing.assert_array_equal(memory_ops.read(memory, jax.nn.one_hot(1, 4)), memory[1])


def test_zero_weights_write_nothing():
    memory = jnp.asarray(strategies.normal(0, 4, 3))
    written = memory_ops.write(memory, jnp.zeros((2, 4)), jnp.ones((2, 3)), jnp.ones((2, 3)))
    np.testing.assert_array_equal(written, memory)


def test_gradients_match_finite_differences():
    with jax.enable_x64(True):
        memory = jnp.asarray(strategies.normal(0, 4, 3), float)
        adds = jnp.asarray(strategies.normal(1, 2, 3), float)
        weights = jax.nn.softmax(jnp.asarray(strategies.normal(2, 2, 4), float))
        erases = jax.nn.sigmoid(jnp.asarray(strategies.normal(3, 2, 3), float))
        check_grads(jax.jit(memory_ops.read), (memory, weights[0]), order=1)
        check_grads(jax.jit(memory_ops.write), (memory, weights, erases, adds), order=1)


def test_vmap_equals_loop():
    memory, weights = strategies.normal(0, 3, 4, 2), strategies.normal(1, 3, 4)
    batched = jax.vmap(memory_ops.read)(memory, weights)
    looped = [memory_ops.read(*example) for example in zip(memory, weights, strict=True)]
    chex.assert_trees_all_close(batched, jnp.stack(looped), **ROUNDING)


@pytest.mark.parametrize(
    ("function", "shapes", "parts"),
    [
        (memory_ops.read, [(4, 3), (5,)], ["4", "5"]),
        (memory_ops.read, [(4, 3), (4, 1)], ["(4, 1)"]),
        (memory_ops.read, [(2, 4, 3), (4,)], ["(2, 4, 3)"]),
        (memory_ops.erase, [(4, 3), (5,), (3,)], ["4", "5"]),
        (memory_ops.erase, [(4, 3), (4,), (1,)], ["3", "1"]),
        (memory_ops.add, [(4, 3), (4,), (4,)], ["3", "4"]),
        (memory_ops.add, [(4, 3), (1,), (3,)], ["4", "1"]),
        (memory_ops.write, [(4, 3), (4,), (2, 3), (2, 3)], ["(4,)"]),
        (memory_ops.write, [(4, 3), (1, 4), (2, 3), (2, 3)], ["1", "2"]),
        (memory_ops.write, [(4, 3), (2, 4), (2, 3), (1, 3)], ["(2, 3)", "(1, 3)"]),
        (memory_ops.write, [(4, 3), (2, 5), (2, 3), (2, 3)], ["4", "5"]),
    ],
)
def test_mismatched_shapes_raise(function, shapes, parts):
    with pytest.raises(AssertionError) as error:
        function(*map(jnp.zeros, shapes))
    for part in parts:
        assert part in str(error.value)
