import chex
from support import strategies
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference
from hypothesis import strategies as st
from jax.test_util import check_grads

from ntm_jax import memory

# Values are below 10 in size and sums have at most 5 terms: a few float32 roundings of 6e-8 each.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


@hypothesis.given(st.data())
def test_read_is_equation_2(data):
    size, width = data.draw(strategies.slots), data.draw(strategies.widths)
    slots, weights = data.draw(strategies.reals(size, width)), data.draw(strategies.simplex(size))
    got = jax.jit(memory.read)(slots, weights)
    np.testing.assert_allclose(got, reference.read(slots, weights), **ROUNDING)


@hypothesis.given(st.data())
def test_erase_is_equation_3(data):
    size, width = data.draw(strategies.slots), data.draw(strategies.widths)
    slots, weights = data.draw(strategies.reals(size, width)), data.draw(strategies.simplex(size))
    vector = data.draw(strategies.units(width))
    got = jax.jit(memory.erase)(slots, weights, vector)
    np.testing.assert_allclose(got, reference.erase(slots, weights, vector), **ROUNDING)


@hypothesis.given(st.data())
def test_add_is_equation_4(data):
    size, width = data.draw(strategies.slots), data.draw(strategies.widths)
    slots, weights = data.draw(strategies.reals(size, width)), data.draw(strategies.simplex(size))
    vector = data.draw(strategies.reals(width))
    got = jax.jit(memory.add)(slots, weights, vector)
    np.testing.assert_allclose(got, reference.add(slots, weights, vector), **ROUNDING)


@hypothesis.given(st.data())
def test_write_is_every_erase_then_every_add_in_any_order_of_heads(data):
    size, width = data.draw(strategies.slots), data.draw(strategies.widths)
    count = data.draw(strategies.heads)
    slots, weights = data.draw(strategies.reals(size, width)), data.draw(strategies.simplex(count, size))
    erases = data.draw(strategies.units(count, width))
    adds = data.draw(strategies.reals(count, width))
    got = jax.jit(memory.write)(slots, weights, erases, adds)
    np.testing.assert_allclose(got, reference.write(slots, weights, erases, adds), **ROUNDING)
    order = np.array(data.draw(st.permutations(range(count))))
    other = jax.jit(memory.write)(slots, weights[order], erases[order], adds[order])
    np.testing.assert_allclose(got, other, **ROUNDING)


def test_an_add_survives_another_heads_erase_of_the_same_slot():
    slots = jnp.array([[5.0, 5.0], [7.0, 7.0]])
    weights = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    erases = jnp.array([[0.0, 0.0], [1.0, 1.0]])
    adds = jnp.array([[1.0, 2.0], [0.0, 0.0]])
    written = memory.write(slots, weights, erases, adds)
    np.testing.assert_array_equal(written, [[1.0, 2.0], [7.0, 7.0]])


def test_full_erase_and_add_at_one_slot_replaces_it_and_leaves_the_others():
    slots = jnp.asarray(strategies.normal(0, 4, 3))
    weights = jax.nn.one_hot(jnp.array([2]), 4)
    value = jnp.array([[9.0, -8.0, 7.0]])
    written = memory.write(slots, weights, jnp.ones((1, 3)), value)
    np.testing.assert_array_equal(written, slots.at[2].set(value[0]))


def test_reading_one_slot_gives_that_slot():
    slots = jnp.asarray(strategies.normal(0, 4, 3))
    np.testing.assert_array_equal(memory.read(slots, jax.nn.one_hot(1, 4)), slots[1])


def test_a_head_that_looks_nowhere_changes_nothing():
    slots = jnp.asarray(strategies.normal(0, 4, 3))
    written = memory.write(slots, jnp.zeros((2, 4)), jnp.ones((2, 3)), jnp.ones((2, 3)))
    np.testing.assert_array_equal(written, slots)


def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        slots, adds = (
            jnp.asarray(strategies.normal(s, *shape), float) for s, shape in ((0, (4, 3)), (1, (2, 3)))
        )
        weights = jax.nn.softmax(jnp.asarray(strategies.normal(2, 2, 4), float))
        erases = jax.nn.sigmoid(jnp.asarray(strategies.normal(3, 2, 3), float))
        check_grads(jax.jit(memory.read), (slots, weights[0]), order=1)
        check_grads(jax.jit(memory.write), (slots, weights, erases, adds), order=1)


def test_vmap_equals_one_by_one():
    slots, weights = strategies.normal(0, 3, 4, 2), strategies.normal(1, 3, 4)
    together = jax.vmap(memory.read)(slots, weights)
    alone = [memory.read(*pair) for pair in zip(slots, weights, strict=True)]
    chex.assert_trees_all_close(together, jnp.stack(alone), **ROUNDING)


@pytest.mark.parametrize(
    ("function", "shapes", "named"),
    [
        (memory.read, [(4, 3), (5,)], ["4", "5"]),
        (memory.read, [(4, 3), (4, 1)], ["(4, 1)"]),
        (memory.read, [(2, 4, 3), (4,)], ["(2, 4, 3)"]),
        (memory.erase, [(4, 3), (5,), (3,)], ["4", "5"]),
        (memory.erase, [(4, 3), (4,), (1,)], ["3", "1"]),
        (memory.add, [(4, 3), (4,), (4,)], ["3", "4"]),
        (memory.add, [(4, 3), (1,), (3,)], ["4", "1"]),
        (memory.write, [(4, 3), (4,), (2, 3), (2, 3)], ["(4,)"]),
        (memory.write, [(4, 3), (1, 4), (2, 3), (2, 3)], ["1", "2"]),
        (memory.write, [(4, 3), (2, 4), (2, 3), (1, 3)], ["(2, 3)", "(1, 3)"]),
        (memory.write, [(4, 3), (2, 5), (2, 3), (2, 3)], ["4", "5"]),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_their_sizes(function, shapes, named):
    with pytest.raises(AssertionError) as error:
        function(*map(jnp.zeros, shapes))
    for size in named:
        assert size in str(error.value)
