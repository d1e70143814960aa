"""Values and gradients stay finite for extreme states, parameters and inputs.

Results are divided by their magnitude before the gradient is taken: for a memory of 1e30, strength
1e4 and sharpness 1e4, the gradient of the read vectors themselves overflows float32.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference, strategies

from ntm_jax import addressing
from ntm_jax.cell import NTMCell, NTMState, access_memory
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.heads import InterfaceSpec
from ntm_jax.models import NTM

INPUTS, FEATURES = 3, 2
SLOTS, READ_HEADS, WRITE_HEADS, WIDTH, MAX_SHIFT = 5, 2, 2, 3, 1
SPEC = InterfaceSpec(READ_HEADS, WRITE_HEADS, WIDTH, MAX_SHIFT)
DRAWS = 250  # per compiled call

# Calls of a compiled function in the fast tests and in the slow tests.
FEW_CALLS, MANY_CALLS = 1, 40


def with_slow(fast, slow):
    """Parameters (name, calls): few calls for the names in `fast`, many for all, marked slow."""
    many = [pytest.param(name, MANY_CALLS, marks=pytest.mark.slow) for name in (*fast, *slow)]
    return [*((name, FEW_CALLS) for name in fast), *many]


def draw_scales(rng, *shape):
    """Draws from 1 to 1e4, log-uniformly."""
    return 10.0 ** rng.uniform(0, 4, shape)


def draw_memories(rng, count):
    """Draws memories with zero, tiny, denormal, ordinary and huge values, and mixtures by slot."""
    scales = np.array([0.0, 1.0, 1e30, 1e20, 1e-6, 1e-20, 1e-40])
    values = rng.normal(size=(count, SLOTS, WIDTH))
    constant = rng.random((count, 1, 1)) < 0.5
    values = np.where(constant, np.sign(values[:, :1, :1]), values)
    memory_scales = rng.choice(scales, (count, 1, 1))
    slot_scales = rng.choice(scales, (count, SLOTS, 1))
    return values * np.where(rng.random((count, 1, 1)) < 0.7, memory_scales, slot_scales)


def draw_weightings(rng, *shape):
    """Draws one-hot, uniform, sparse and dense weightings, and some that are all zero."""
    sparse = rng.random(shape) * rng.integers(0, 2, shape)
    one_hot = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    dense = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    kinds = np.stack([one_hot, np.ones(shape), sparse, dense])
    kind = rng.integers(0, len(kinds), shape[:-1])
    weights = np.take_along_axis(kinds, kind[None, ..., None], 0)[0]
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros(shape), where=total > 0)


def draw_states(rng, cell, count):
    memory = draw_memories(rng, count)
    weights = [draw_weightings(rng, count, heads, SLOTS) for heads in (READ_HEADS, WRITE_HEADS)]
    initial = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), (INPUTS,)))
    controller = jax.tree.map(
        lambda leaf: rng.normal(size=(count, *leaf.shape)), initial.controller
    )
    return NTMState(controller, memory, *weights, weights[0] @ memory)


def draw_raw(rng, count):
    """Draws raw interface vectors, some with exact zeros."""
    raw = rng.normal(size=(count, SPEC.size)) * draw_scales(rng, count, 1)
    return raw * (rng.random((count, SPEC.size)) < rng.choice([0.0, 0.5, 1.0], (count, 1)))


def scaled_sum(results, memory):
    """Sums all results with random weights, each result divided by its magnitude."""
    total = 0.0
    for seed, leaf in enumerate(jax.tree.leaves(results)):
        leaf, scale = leaf.astype(jnp.float32), jnp.max(jnp.abs(memory)).astype(jnp.float32)
        scale = jnp.maximum(jnp.maximum(1.0, scale), jnp.max(jnp.abs(leaf)))
        direction = jnp.asarray(strategies.normal(seed, *leaf.shape))
        total += jnp.vdot(direction, leaf / jax.lax.stop_gradient(scale))
    return total


CELLS = {
    "feed-forward": (FeedForward((4,)), None),
    "lstm": (LSTM(4), None),
    "feed-forward, bfloat16": (FeedForward((4,), dtype=jnp.bfloat16), jnp.bfloat16),
    "lstm, bfloat16": (LSTM(4, dtype=jnp.bfloat16), jnp.bfloat16),
}


def make_cell(name):
    controller, dtype = CELLS[name]
    return NTMCell(FEATURES, controller, SLOTS, WIDTH, READ_HEADS, WRITE_HEADS, dtype=dtype)


def count_not_finite(results):
    """Counts the draws, on the leading axis, with a value that is not finite."""
    leaves = [np.asarray(leaf, np.float32) for leaf in jax.tree.leaves(results)]
    return np.any([~np.isfinite(a).reshape(len(a), -1).all(1) for a in leaves], axis=0).sum()


def as_arrays(tree, dtype=jnp.float32):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def assert_on_simplex(step, tolerance=1e-5):
    for weights in (step.read_weights, step.write_weights):
        weights = np.asarray(weights, np.float64)
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "calls"), with_slow(["float32"], ["bfloat16"]))
def test_memory_access_is_finite(dtype, calls):
    rng, failures = np.random.default_rng(0), 0

    def loss(state, raw):
        step = access_memory(*state[1:4], SPEC.split(raw))
        return scaled_sum(step[1:], step.memory), step

    run = jax.jit(jax.vmap(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)))
    for _ in range(calls):
        state = draw_states(rng, make_cell("feed-forward"), DRAWS)
        (_, step), gradients = run(*as_arrays((state, draw_raw(rng, DRAWS)), dtype))
        failures += count_not_finite((step, gradients))
        assert_on_simplex(step, 1e-5 if dtype == "float32" else 2e-2)
    assert failures == 0, f"{failures} of {calls * DRAWS}"


@pytest.mark.parametrize(
    ("name", "calls"),
    with_slow(["lstm, bfloat16"], ["feed-forward", "lstm", "feed-forward, bfloat16"]),
)
def test_cell_with_random_params_is_finite(name, calls):
    rng, failures, cell = np.random.default_rng(1), 0, make_cell(name)

    def loss(params, state, inputs):
        new_state, outputs = cell.apply({"params": params}, state, inputs)
        return scaled_sum((new_state, outputs), new_state.memory), new_state

    run = jax.jit(jax.vmap(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)))
    initial = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), (INPUTS,)))
    shapes = jax.eval_shape(cell.init, jax.random.key(0), initial, jnp.zeros(INPUTS))["params"]
    for _ in range(calls):
        scales = draw_scales(rng, DRAWS)
        params = jax.tree.map(
            lambda leaf, s=scales: (
                rng.normal(size=(DRAWS, *leaf.shape)) * s.reshape(-1, *(1 for _ in leaf.shape))
            ),
            shapes,
        )
        state, inputs = draw_states(rng, cell, DRAWS), rng.normal(size=(DRAWS, INPUTS))
        (_, new_state), gradients = run(*as_arrays((params, state, inputs)))
        failures += count_not_finite((new_state, gradients))
        assert_on_simplex(new_state)
    assert failures == 0, f"{failures} of {calls * DRAWS}"


@pytest.mark.parametrize(
    "name", ["feed-forward", pytest.param("lstm, bfloat16", marks=pytest.mark.slow)]
)
def test_weights_stay_on_simplex_for_10000_steps(name):
    """Eight models with parameters of scales from 1 to 1e4, on random inputs."""
    rng, cell, count = np.random.default_rng(2), make_cell(name), 8
    params = strategies.init_random_params(NTM(cell), jnp.zeros((1, INPUTS)))["cell"]
    scales = jnp.asarray(10.0 ** np.linspace(0, 4, count), jnp.float32)
    inputs = jnp.asarray(rng.normal(size=(10_000, INPUTS)), jnp.float32)

    def run(scale):
        scaled = jax.tree.map(lambda leaf: scale * leaf, params)

        def step(state, inputs):
            state, _ = cell.apply({"params": scaled}, state, inputs)
            weights = jnp.concatenate([state.read_weights, state.write_weights])
            return state, (jnp.sum(weights, axis=1), jnp.min(weights))

        return jax.lax.scan(step, cell.initialize_carry(jax.random.key(0), (INPUTS,)), inputs)[1]

    sums, minima = jax.jit(jax.vmap(run))(scales)
    assert sums.shape == (count, 10_000, READ_HEADS + WRITE_HEADS)
    assert np.min(minima) >= 0.0
    np.testing.assert_allclose(sums, 1.0, atol=1e-5)
    early, late = (np.mean(part, axis=(1, 2)) for part in (sums[:, :1000], sums[:, -1000:]))
    np.testing.assert_allclose(early, late, atol=1e-6)


@pytest.mark.parametrize("gate", [0.0, -1e3])
def test_scan_from_zero_state_is_finite(gate):
    """Memory, weightings, reads and interface kernel are zero, addressing biases are extreme."""
    cell = make_cell("lstm")
    inputs = jnp.asarray(strategies.normal(0, 4, INPUTS))
    params = strategies.init_random_params(NTM(cell), inputs)
    bias = SPEC.initial_bias(strength=1e4, gate=gate, sharpness=1e3, shift=1e4)
    interface = {
        "kernel": 0.0 * params["cell"]["interface"]["kernel"],
        "bias": jnp.asarray(bias),
    }
    params = {"cell": params["cell"] | {"interface": interface}}
    state = strategies.random_state(cell, (), INPUTS)
    state = NTMState(state.controller, *jax.tree.map(jnp.zeros_like, state[1:]))

    def loss(params, state):
        state, outputs = NTM(cell).apply({"params": params}, inputs, None, state, True)
        return scaled_sum((state, outputs), state.memory)

    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, state)
    assert strategies.all_finite((value, gradients))


_SHAPES = (0, (3,)), (1, (5, 3))  # seed and shape of a key and a memory


@functools.cache
def _cosine_with_gradients():
    def loss(key, memory):
        similarity = addressing.cosine_similarity(key, memory)
        return jnp.vdot(similarity, jnp.asarray(strategies.normal(2, 5))), similarity

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))


@pytest.mark.parametrize("key_scale", [1e-4, 1.0, 1e8, 1e12])
@pytest.mark.parametrize("memory_scale", [1e-4, 1.0, 1e8, 1e12])
def test_similarity_does_not_depend_on_norms(key_scale, memory_scale):
    key, memory = (strategies.normal(seed, *shape) for seed, shape in _SHAPES)
    scaled = np.float32(key_scale) * key, np.float32(memory_scale) * memory
    (d_key, d_memory), similarity = _cosine_with_gradients()(*scaled)
    want = [reference.cosine(key, row) for row in memory]
    np.testing.assert_allclose(similarity, want, rtol=1e-5, atol=1e-6)
    # The gradient is inversely proportional to the scale of the vector.
    want_d_key, want_d_memory = _cosine_with_gradients()(key, memory)[0]
    for got, scale, want in (
        (d_key, key_scale, want_d_key),
        (d_memory, memory_scale, want_d_memory),
    ):
        got = np.asarray(got, np.float64) * scale
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_similarity_is_exact_up_to_1e18():
    key, memory = (np.float32(1e18) * strategies.normal(seed, *shape) for seed, shape in _SHAPES)
    want = [reference.cosine(key, row) for row in memory]
    _, similarity = _cosine_with_gradients()(key, memory)
    np.testing.assert_allclose(similarity, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("key_scale", "memory_scale"), [(1e30, 1.0), (1.0, 1e30), (1e20, 1e15), (1e5, 1e30)]
)
def test_similarity_of_overflowing_norms_is_zero(key_scale, memory_scale):
    key, memory = (strategies.normal(seed, *shape) for seed, shape in _SHAPES)
    scaled = np.float32(key_scale) * key, np.float32(memory_scale) * memory
    gradients, similarity = _cosine_with_gradients()(*scaled)
    np.testing.assert_array_equal(similarity, 0.0)
    assert strategies.all_finite(gradients)
