import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.test_util import check_grads
from support import reference, strategies

from ntm_jax import addressing
from ntm_jax.addressing import AddressParameters

# Weightings are in [0, 1]. The largest error is in the exponents: float32 rounds a strength of 20
# times a similarity, or a sharpness of 10 times a logarithm, to about 1e-6.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


@hypothesis.given(st.data())
def test_cosine_similarity_is_equation_6(data):
    num_slots, width = data.draw(strategies.num_slots), data.draw(strategies.slot_widths)
    key, memory = data.draw(strategies.reals(width)), data.draw(strategies.reals(num_slots, width))
    got = jax.jit(addressing.cosine_similarity)(key, memory)
    np.testing.assert_allclose(got, [reference.cosine(key, row) for row in memory], **ROUNDING)


@hypothesis.given(st.data())
def test_content_weights_are_equation_5(data):
    num_slots, width = data.draw(strategies.num_slots), data.draw(strategies.slot_widths)
    memory, key = data.draw(strategies.reals(num_slots, width)), data.draw(strategies.reals(width))
    strength = data.draw(strategies.scalars(0, 20))
    got = jax.jit(addressing.content_weights)(memory, key, strength)
    np.testing.assert_allclose(got, reference.content_weights(memory, key, strength), **ROUNDING)


@hypothesis.given(st.data())
def test_interpolate_is_equation_7(data):
    num_slots = data.draw(strategies.num_slots)
    content = data.draw(strategies.simplex(num_slots))
    previous = data.draw(strategies.simplex(num_slots))
    gate = data.draw(strategies.scalars(0, 1))
    got = jax.jit(addressing.interpolate)(content, previous, gate)
    np.testing.assert_allclose(got, reference.interpolate(content, previous, gate), **ROUNDING)


@hypothesis.given(st.data())
def test_shift_is_equation_8(data):
    weights = data.draw(strategies.simplex(data.draw(strategies.num_slots)))
    shift_weights = data.draw(strategies.simplex(data.draw(strategies.num_shifts)))
    got = jax.jit(addressing.shift)(weights, shift_weights)
    np.testing.assert_allclose(got, reference.shift(weights, shift_weights), **ROUNDING)


@hypothesis.given(st.data())
def test_sharpen_is_equation_9(data):
    weights = data.draw(strategies.simplex(data.draw(strategies.num_slots)))
    sharpness = data.draw(strategies.scalars(1, 10))
    got = jax.jit(addressing.sharpen)(weights, sharpness)
    np.testing.assert_allclose(got, reference.sharpen(weights, sharpness), **ROUNDING)


@hypothesis.given(strategies.addresses())
def test_address_is_figure_2(arguments):
    memory, previous, parameters = arguments
    got = jax.jit(addressing.address)(memory, previous, parameters)
    want = reference.address(
        memory,
        previous,
        k=parameters.key,
        beta=parameters.strength,
        g=parameters.gate,
        s=parameters.shift,
        gamma=parameters.sharpness,
    )
    # Sharpening multiplies the relative error of its input, here by at most 10.
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(), 1.0, atol=1e-6)


@pytest.mark.parametrize("function", ["content_weights", "sharpen"])
@hypothesis.given(data=st.data())
def test_extreme_parameters_stay_on_simplex(function, data):
    num_slots = data.draw(strategies.num_slots)
    extreme = data.draw(st.sampled_from([1.0, 50.0, 1e3, 1e4]).map(np.float32))
    if function == "content_weights":
        memory, key = data.draw(strategies.reals(num_slots, 3)), data.draw(strategies.reals(3))
        got = jax.jit(addressing.content_weights)(memory, key, extreme)
    else:
        got = jax.jit(addressing.sharpen)(data.draw(strategies.simplex(num_slots)), extreme)
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(), 1.0, atol=1e-6)


def test_similarity_is_the_cosine_of_the_angle():
    memory = jnp.array([[2.0, 0.0], [-0.001, 0.0], [0.0, 500.0], [3.0, 3.0]])
    got = addressing.cosine_similarity(jnp.array([0.01, 0.0]), memory)
    np.testing.assert_allclose(got, [1.0, -1.0, 0.0, np.sqrt(0.5)], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1.0, 1e3, 1e6])
def test_similarity_is_exact_at_any_norm(scale):
    memory = np.float32(scale) * strategies.normal(0, 4, 3)
    key = np.float32(scale) * strategies.normal(1, 3)
    want = [reference.cosine(key, row) for row in memory]
    np.testing.assert_allclose(addressing.cosine_similarity(key, memory), want, **ROUNDING)


def test_similarity_to_zero_vector_is_zero():
    memory = np.float32([[1, 2], [0, 0]])
    got = addressing.cosine_similarity(np.float32([1, 2]), memory)
    np.testing.assert_allclose(got, [1, 0], atol=1e-6)
    got = addressing.cosine_similarity(np.zeros(2, np.float32), memory)
    np.testing.assert_array_equal(got, 0)


def test_zero_strength_gives_uniform_weights():
    got = addressing.content_weights(
        strategies.normal(0, 5, 3), strategies.normal(1, 3), jnp.array(0.0)
    )
    np.testing.assert_allclose(got, np.full(5, 0.2), atol=1e-7)


def test_large_strength_selects_the_matching_slot():
    memory = strategies.normal(0, 6, 4)
    for slot in range(6):
        got = addressing.content_weights(memory, 3.0 * memory[slot], jnp.array(1e4))
        np.testing.assert_allclose(got, np.eye(6)[slot], atol=1e-6)


def test_gate_selects_content_or_previous_weights():
    content, previous = np.float32([0.1, 0.2, 0.7]), np.float32([0.5, 0.5, 0.0])
    got = addressing.interpolate(content, previous, jnp.array(1.0))
    np.testing.assert_array_equal(got, content)
    got = addressing.interpolate(content, previous, jnp.array(0.0))
    np.testing.assert_array_equal(got, previous)


@pytest.mark.parametrize("max_shift", [0, 1, 2, 3])
def test_one_hot_shift_moves_by_its_offset(max_shift):
    for slot in range(5):
        for offset in range(-max_shift, max_shift + 1):
            shift_weights = np.eye(2 * max_shift + 1, dtype=np.float32)[max_shift + offset]
            got = addressing.shift(np.eye(5, dtype=np.float32)[slot], shift_weights)
            np.testing.assert_array_equal(got, np.eye(5)[(slot + offset) % 5])


def test_shift_wraps_around():
    got = addressing.shift(np.float32([0, 0.25, 0, 0.75]), np.float32([0, 0, 1]))
    np.testing.assert_array_equal(got, [0.75, 0, 0.25, 0])


def test_sharpness_one_normalizes():
    got = addressing.sharpen(np.float32([0.2, 0.6, 0.0, 1.2]), jnp.array(1.0))
    np.testing.assert_allclose(got, [0.1, 0.3, 0.0, 0.6], atol=1e-6)


def test_large_sharpness_selects_the_maximum():
    got = addressing.sharpen(np.float32([0.2, 0.45, 0.35]), jnp.array(1000.0))
    np.testing.assert_allclose(got, [0, 1, 0], atol=1e-6)
    got = addressing.sharpen(np.float32([0.2, 0.4, 0.4]), jnp.array(1000.0))
    np.testing.assert_allclose(got, [0, 0.5, 0.5], atol=1e-6)


def test_closed_gate_and_shift_visit_all_slots():
    parameters = AddressParameters(
        key=jnp.array([1.0, -2.0]),
        strength=jnp.array(5.0),
        gate=jnp.array(0.0),
        shift=jnp.array([0.0, 0.0, 1.0]),
        sharpness=jnp.array(2.0),
    )
    memory, weights = strategies.normal(0, 4, 2), jax.nn.one_hot(0, 4)
    visited = []
    for _ in range(5):
        weights = addressing.address(memory, weights, parameters)
        visited.append(int(weights.argmax()))
        np.testing.assert_allclose(weights.max(), 1.0, atol=1e-6)
    assert visited == [1, 2, 3, 0, 1]


ZERO, ONE_HOT = np.zeros(5, np.float32), np.eye(5, dtype=np.float32)[1]
CONSTANT = np.full((5, 3), 1e-6, np.float32)
MEMORY = strategies.normal(0, 5, 3)
ZERO_ROWS = MEMORY * np.float32([[1], [0], [1], [0], [0]])
TINY = np.float32([1e-38, 1e-20, 1e-10, 1e-3, 1.0])
DEGENERATE = {
    "zero key": (MEMORY, np.zeros(3), 1.0, 0.5, ONE_HOT, 2.0),
    "zero rows": (ZERO_ROWS, np.ones(3), 1.0, 0.5, ONE_HOT, 2.0),
    "zero key and zero memory": (0 * MEMORY, np.zeros(3), 1.0, 0.5, ONE_HOT, 2.0),
    "constant memory": (CONSTANT, np.ones(3), 1.0, 0.5, ONE_HOT, 2.0),
    "constant memory, zero key": (CONSTANT, np.zeros(3), 1e4, 0.5, ONE_HOT, 2.0),
    "tiny vectors": (MEMORY * 1e-30, np.full(3, 1e-30), 1e4, 0.5, ONE_HOT, 2.0),
    "strength 10000": (MEMORY, MEMORY[2], 1e4, 1.0, ONE_HOT, 1.0),
    "strength 10000 on zero rows": (ZERO_ROWS, MEMORY[2], 1e4, 1.0, ONE_HOT, 1.0),
    "strength 10000, zero key": (MEMORY, np.zeros(3), 1e4, 1.0, ONE_HOT, 1.0),
    "strength 10000, all similarities -1": (
        -np.abs(MEMORY[:1]) * np.ones((5, 1)),
        np.abs(MEMORY[0]),
        1e4,
        1.0,
        ONE_HOT,
        1.0,
    ),
    "sharpness 1000": (MEMORY, MEMORY[2], 1.0, 0.5, ONE_HOT, 1e3),
    "sharpness 1000 of one-hot": (MEMORY, MEMORY[2], 1.0, 0.0, ONE_HOT, 1e3),
    "sharpness 1000 of uniform": (MEMORY, np.zeros(3), 1.0, 1.0, ONE_HOT, 1e3),
    "one-hot previous, gate 0": (MEMORY, MEMORY[2], 1.0, 0.0, ONE_HOT, 1.0),
    "zero previous, gate 0": (MEMORY, MEMORY[2], 1.0, 0.0, ZERO, 2.0),
    "zero previous, gate 0, sharpness 1000": (MEMORY, MEMORY[2], 1.0, 0.0, ZERO, 1e3),
    "previous of all magnitudes": (MEMORY, MEMORY[2], 1.0, 0.0, TINY, 3.0),
    "all at once": (CONSTANT, np.zeros(3), 1e4, 0.0, ONE_HOT, 1e3),
}


@functools.cache
def _address_with_gradients():
    def loss(memory, previous, parameters, direction):
        weights = addressing.address(memory, previous, parameters)
        return jnp.vdot(weights, direction), weights

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize("shift", [[0, 0, 1], [0.3, 0.3, 0.4]], ids=["one-hot", "spread"])
@pytest.mark.parametrize("point", DEGENERATE)
def test_degenerate_points_are_finite(point, shift):
    memory, key, strength, gate, previous, sharpness = DEGENERATE[point]
    parameters = AddressParameters(key, strength, gate, np.array(shift), sharpness)
    arguments = jax.tree.map(np.float32, (memory, previous, parameters))
    for direction in (np.eye(5, dtype=np.float32)[2], strategies.normal(3, 5)):
        gradients, weights = _address_with_gradients()(*arguments, direction)
        assert strategies.all_finite(weights)
        assert strategies.all_finite(gradients)
    np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-5)


def test_gradients_match_finite_differences():
    with jax.enable_x64(True):
        memory, key, logits = (
            jnp.asarray(strategies.normal(seed, *shape), float)
            for seed, shape in ((0, (5, 3)), (1, (3,)), (2, (5,)))
        )
        weights, shift_weights = jax.nn.softmax(logits), jnp.array([0.2, 0.5, 0.3])
        strength, gate, sharpness = jnp.array(3.0), jnp.array(0.4), jnp.array(2.5)
        parameters = AddressParameters(key, strength, gate, shift_weights, sharpness)
        for function, arguments in (
            (addressing.cosine_similarity, (key, memory)),
            (addressing.content_weights, (memory, key, strength)),
            (addressing.interpolate, (weights, weights[::-1], gate)),
            (addressing.shift, (weights, shift_weights)),
            (addressing.sharpen, (weights, sharpness)),
            (addressing.address, (memory, weights, parameters)),
        ):
            check_grads(jax.jit(function), arguments, order=1)


def test_vmap_over_heads_equals_loop():
    memory, previous = strategies.normal(0, 5, 3), np.eye(5, dtype=np.float32)[[0, 3]]
    parameters = AddressParameters(
        key=strategies.normal(1, 2, 3),
        strength=np.float32([1, 4]),
        gate=np.float32([0.1, 0.9]),
        shift=np.float32([[0.1, 0.2, 0.7], [1, 0, 0]]),
        sharpness=np.float32([1.5, 3]),
    )
    batched = jax.vmap(addressing.address, (None, 0, 0))(memory, previous, parameters)
    for head in range(2):
        one_head = jax.tree.map(lambda leaf, head=head: leaf[head], parameters)
        want = addressing.address(memory, previous[head], one_head)
        np.testing.assert_allclose(batched[head], want, **ROUNDING)


@pytest.mark.parametrize(
    ("function", "shapes", "parts"),
    [
        (addressing.cosine_similarity, [(3,), (5, 4)], ["3", "4"]),
        (addressing.cosine_similarity, [(1,), (5, 4)], ["1", "4"]),
        (addressing.cosine_similarity, [(2, 3), (5, 3)], ["(2, 3)"]),
        (addressing.content_weights, [(5, 3), (3,), (1,)], ["(1,)"]),
        (addressing.interpolate, [(5,), (4,), ()], ["(5,)", "(4,)"]),
        (addressing.interpolate, [(5,), (1,), ()], ["(5,)", "(1,)"]),
        (addressing.interpolate, [(5,), (5,), (5,)], ["(5,)"]),
        (addressing.shift, [(5,), (4,)], ["4"]),
        (addressing.shift, [(5,), (0,)], ["0"]),
        (addressing.shift, [(2, 5), (3,)], ["(2, 5)"]),
        (addressing.sharpen, [(5,), (5,)], ["(5,)"]),
        (addressing.sharpen, [(2, 5), ()], ["(2, 5)"]),
    ],
)
def test_mismatched_shapes_raise(function, shapes, parts):
    with pytest.raises(AssertionError) as error:
        function(*map(jnp.zeros, shapes))
    for part in parts:
        assert part in str(error.value)
