"""The whole step at its worst: drawn extremes give finite values, and finite gradients.

The gradient is that of results in units of their size: a memory of 1e30 read by a strength and a
sharpness of 1e4 each has, of what is read alone, one that float32 cannot hold.
"""

import functools

from support import strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference

from ntm_jax import addressing, heads
from ntm_jax.cell import NTMCell, NTMState, machine_step
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.models import NTM

INPUTS, FEATURES = 3, 2
SLOTS, READ_HEADS, WRITE_HEADS, WIDTH, MAX_SHIFT = 5, 2, 2, 3, 1
SIZES = READ_HEADS, WRITE_HEADS, WIDTH, MAX_SHIFT
TOGETHER = 250  # draws in one compiled call

# Calls of a compiled function that the ordinary suite has time for, and the others.
FEW, MANY = 1, 40


def with_slow(fast, slow):
    """Pairs of a kind and a number of calls: some of few calls, and all of many."""
    many = [pytest.param(kind, MANY, marks=pytest.mark.slow) for kind in (*fast, *slow)]
    return [*((kind, FEW) for kind in fast), *many]


def draw_scales(rng, *shape):
    """From 10^0 to 10^4."""
    return 10.0 ** rng.uniform(0, 4, shape)


def draw_memories(rng, count):
    """Of zeros, ones, huge, tiny and denormal numbers, of usual ones, and of rows of each kind."""
    sizes = np.array([0.0, 1.0, 1e30, 1e20, 1e-6, 1e-20, 1e-40])
    numbers = rng.normal(size=(count, SLOTS, WIDTH))
    constant = rng.random((count, 1, 1)) < 0.5
    numbers = np.where(constant, np.sign(numbers[:, :1, :1]), numbers)
    of_all, of_rows = rng.choice(sizes, (count, 1, 1)), rng.choice(sizes, (count, SLOTS, 1))
    return numbers * np.where(rng.random((count, 1, 1)) < 0.7, of_all, of_rows)


def draw_weightings(rng, *shape):
    """One-hot, uniform, with exact zeros, and any; now and then a weighting that is all zero."""
    some = rng.random(shape) * rng.integers(0, 2, shape)
    one_hot = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    kinds = np.stack([one_hot, np.ones(shape), some, rng.dirichlet(np.ones(shape[-1]), shape[:-1])])
    kind = rng.integers(0, len(kinds), shape[:-1])
    chosen = np.take_along_axis(kinds, kind[None, ..., None], 0)[0]
    total = chosen.sum(-1, keepdims=True)
    return np.divide(chosen, total, out=np.zeros(shape), where=total > 0)


def draw_states(rng, cell, count):
    memory = draw_memories(rng, count)
    weights = [draw_weightings(rng, count, number, SLOTS) for number in (READ_HEADS, WRITE_HEADS)]
    first = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), (INPUTS,)))
    controller = jax.tree.map(lambda leaf: rng.normal(size=(count, *leaf.shape)), first.controller)
    return NTMState(controller, memory, *weights, weights[0] @ memory)


def draw_raw(rng, count):
    """Interface vectors; parts of some are exactly zero."""
    size = heads.interface_size(*SIZES)
    raw = rng.normal(size=(count, size)) * draw_scales(rng, count, 1)
    return raw * (rng.random((count, size)) < rng.choice([0.0, 0.5, 1.0], (count, 1)))


def in_units(results, memory):
    """The sum of all results, each with a weight of its own, and divided by its size."""
    total = 0.0
    for seed, leaf in enumerate(jax.tree.leaves(results)):
        leaf, size = leaf.astype(jnp.float32), jnp.max(jnp.abs(memory)).astype(jnp.float32)
        size = jnp.maximum(jnp.maximum(1.0, size), jnp.max(jnp.abs(leaf)))
        direction = jnp.asarray(strategies.normal(seed, *leaf.shape))
        total += jnp.vdot(direction, leaf / jax.lax.stop_gradient(size))
    return total


def of_step(state, raw):
    step = machine_step(*state[1:4], heads.split_interface(raw, *SIZES))
    return in_units(step[1:], step.memory), step


CELLS = {
    "feed-forward": (FeedForward((4,)), None),
    "lstm": (LSTM(4), None),
    "feed-forward, bfloat16": (FeedForward((4,), dtype=jnp.bfloat16), jnp.bfloat16),
    "lstm, bfloat16": (LSTM(4, dtype=jnp.bfloat16), jnp.bfloat16),
}


def make_cell(name):
    controller, dtype = CELLS[name]
    return NTMCell(FEATURES, controller, SLOTS, WIDTH, READ_HEADS, WRITE_HEADS, dtype=dtype)


def not_finite(results):
    """For each draw whether anything in it is not finite."""
    leaves = [np.asarray(leaf, np.float32) for leaf in jax.tree.leaves(results)]
    return np.any([~np.isfinite(a).reshape(len(a), -1).all(1) for a in leaves], axis=0)


def as_arrays(tree, dtype=jnp.float32):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def assert_on_the_simplex(step, tolerance=1e-5):
    for weights in (step.read_weights, step.write_weights):
        weights = np.asarray(weights, np.float64)
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "calls"), with_slow(["float32"], ["bfloat16"]))
def test_a_step_has_finite_values_and_gradients(dtype, calls):
    rng, bad = np.random.default_rng(0), 0
    run = jax.jit(jax.vmap(jax.value_and_grad(of_step, argnums=(0, 1), has_aux=True)))
    for _ in range(calls):
        state = draw_states(rng, make_cell("feed-forward"), TOGETHER)
        (_, step), gradients = run(*as_arrays((state, draw_raw(rng, TOGETHER)), dtype))
        bad += not_finite((step, gradients)).sum()
        assert_on_the_simplex(step, 1e-5 if dtype == "float32" else 2e-2)
    assert bad == 0, f"{bad} of {calls * TOGETHER}"


@pytest.mark.parametrize(
    ("name", "calls"),
    with_slow(["lstm, bfloat16"], ["feed-forward", "lstm", "feed-forward, bfloat16"]),
)
def test_a_cell_with_random_parameters_has_finite_values_and_gradients(name, calls):
    rng, bad, cell = np.random.default_rng(1), 0, make_cell(name)

    def loss(params, state, inputs):
        following, outputs = cell.apply({"params": params}, state, inputs)
        return in_units((following, outputs), following.memory), following

    run = jax.jit(jax.vmap(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)))
    first = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), (INPUTS,)))
    shapes = jax.eval_shape(cell.init, jax.random.key(0), first, jnp.zeros(INPUTS))["params"]
    for _ in range(calls):
        scales = draw_scales(rng, TOGETHER)
        params = jax.tree.map(
            lambda leaf, s=scales: (
                rng.normal(size=(TOGETHER, *leaf.shape)) * s.reshape(-1, *(1 for _ in leaf.shape))
            ),
            shapes,
        )
        state, inputs = draw_states(rng, cell, TOGETHER), rng.normal(size=(TOGETHER, INPUTS))
        (_, following), gradients = run(*as_arrays((params, state, inputs)))
        bad += not_finite((following, gradients)).sum()
        assert_on_the_simplex(following)
    assert bad == 0, f"{bad} of {calls * TOGETHER}"


@pytest.mark.parametrize(
    "name", ["feed-forward", pytest.param("lstm, bfloat16", marks=pytest.mark.slow)]
)
def test_weightings_stay_on_the_simplex_for_ten_thousand_steps(name):
    """Eight machines with parameters of every scale, on noise."""
    rng, cell, count = np.random.default_rng(2), make_cell(name), 8
    params = strategies.parameters(NTM(cell), jnp.zeros((1, INPUTS)))["cell"]
    scales = jnp.asarray(10.0 ** np.linspace(0, 4, count), jnp.float32)
    inputs = jnp.asarray(rng.normal(size=(10_000, INPUTS)), jnp.float32)

    def run(scale):
        scaled = jax.tree.map(lambda leaf: scale * leaf, params)

        def step(state, inputs):
            state, _ = cell.apply({"params": scaled}, state, inputs)
            weights = jnp.concatenate([state.read_weights, state.write_weights])
            return state, (jnp.sum(weights, axis=1), jnp.min(weights))

        return jax.lax.scan(step, cell.initialize_carry(jax.random.key(0), (INPUTS,)), inputs)[1]

    sums, smallest = jax.jit(jax.vmap(run))(scales)
    assert sums.shape == (count, 10_000, READ_HEADS + WRITE_HEADS)
    assert np.min(smallest) >= 0.0
    np.testing.assert_allclose(sums, 1.0, atol=1e-5)
    early, late = (np.mean(part, axis=(1, 2)) for part in (sums[:, :1000], sums[:, -1000:]))
    np.testing.assert_allclose(early, late, atol=1e-6)


@pytest.mark.parametrize("gate", [0.0, -1e3])
def test_a_scan_from_nothing_at_all_has_finite_gradients(gate):
    """Memory, weightings, reads and interface kernel zero; heads that move as hard as they can."""
    cell = make_cell("lstm")
    said = {"strength": 1e4, "gate": gate, "sharpness": 1e3, "shift": 1e4}
    inputs = jnp.asarray(strategies.normal(0, 4, INPUTS))
    params = strategies.parameters(NTM(cell), inputs)
    interface = {
        "kernel": 0.0 * params["cell"]["interface"]["kernel"],
        "bias": jnp.asarray(heads.interface_bias(*SIZES, **said)),
    }
    params = {"cell": params["cell"] | {"interface": interface}}
    state = strategies.busy_state(cell, (), INPUTS)
    state = NTMState(state.controller, *jax.tree.map(jnp.zeros_like, state[1:]))

    def loss(params, state):
        state, outputs = NTM(cell).apply({"params": params}, inputs, None, state, True)
        return in_units((state, outputs), state.memory)

    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, state)
    assert strategies.all_finite((value, gradients))


_SHAPES = (0, (3,)), (1, (5, 3))


@functools.cache
def _cosine():
    def weighted(key, memory):
        similarity = addressing.cosine_similarity(key, memory)
        return jnp.vdot(similarity, jnp.asarray(strategies.normal(2, 5))), similarity

    return jax.jit(jax.grad(weighted, argnums=(0, 1), has_aux=True))


@pytest.mark.parametrize("of_key", [1e-4, 1.0, 1e8, 1e12])
@pytest.mark.parametrize("of_memory", [1e-4, 1.0, 1e8, 1e12])
def test_similarity_and_its_gradient_do_not_depend_on_lengths(of_key, of_memory):
    key, memory = (strategies.normal(seed, *shape) for seed, shape in _SHAPES)
    scaled = np.float32(of_key) * key, np.float32(of_memory) * memory
    (of_keys, of_slots), similarity = _cosine()(*scaled)
    want = [reference.cosine(key, row) for row in memory]
    np.testing.assert_allclose(similarity, want, rtol=1e-5, atol=1e-6)
    # The gradient of a function of the direction is larger where the vector is shorter.
    usual_key, usual_slots = _cosine()(key, memory)[0]
    for got, scale, wanted in (
        (of_keys, of_key, usual_key),
        (of_slots, of_memory, usual_slots),
    ):
        got = np.asarray(got, np.float64) * scale
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_similarity_alone_holds_further():
    key, memory = (np.float32(1e18) * strategies.normal(seed, *shape) for seed, shape in _SHAPES)
    want = [reference.cosine(key, row) for row in memory]
    np.testing.assert_allclose(_cosine()(key, memory)[1], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("of_key", "of_memory"), [(1e30, 1.0), (1.0, 1e30), (1e20, 1e15), (1e5, 1e30)]
)
def test_a_vector_whose_length_is_out_of_range_is_similar_to_nothing(of_key, of_memory):
    key, memory = (strategies.normal(seed, *shape) for seed, shape in _SHAPES)
    gradients, similarity = _cosine()(np.float32(of_key) * key, np.float32(of_memory) * memory)
    np.testing.assert_array_equal(similarity, 0.0)
    assert strategies.all_finite(gradients)
