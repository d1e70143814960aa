import functools

from support import strategies
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference
from hypothesis import strategies as st
from jax.test_util import check_grads

from ntm_jax import addressing
from ntm_jax.addressing import AddressParameters

# Weightings lie in [0, 1]. The largest error is that of the exponents: float32 rounds a strength
# of 20 times a similarity, or a sharpness of 10 times a logarithm, to about 1e-6.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


@hypothesis.given(st.data())
def test_cosine_similarity_is_equation_6(data):
    size, width = data.draw(strategies.slots), data.draw(strategies.widths)
    key, slots = data.draw(strategies.reals(width)), data.draw(strategies.reals(size, width))
    got = jax.jit(addressing.cosine_similarity)(key, slots)
    np.testing.assert_allclose(got, [reference.cosine(key, row) for row in slots], **ROUNDING)


@hypothesis.given(st.data())
def test_content_weights_are_equation_5(data):
    size, width = data.draw(strategies.slots), data.draw(strategies.widths)
    slots, key = data.draw(strategies.reals(size, width)), data.draw(strategies.reals(width))
    strength = data.draw(strategies.scalars(0, 20))
    got = jax.jit(addressing.content_weights)(slots, key, strength)
    np.testing.assert_allclose(got, reference.content_weights(slots, key, strength), **ROUNDING)


@hypothesis.given(st.data())
def test_interpolate_is_equation_7(data):
    size = data.draw(strategies.slots)
    content, previous = data.draw(strategies.simplex(size)), data.draw(strategies.simplex(size))
    gate = data.draw(strategies.scalars(0, 1))
    got = jax.jit(addressing.interpolate)(content, previous, gate)
    np.testing.assert_allclose(got, reference.interpolate(content, previous, gate), **ROUNDING)


@hypothesis.given(st.data())
def test_shift_is_equation_8(data):
    size, num_shifts = data.draw(strategies.slots), data.draw(strategies.shifts)
    weights, shifts = data.draw(strategies.simplex(size)), data.draw(strategies.simplex(num_shifts))
    got = jax.jit(addressing.shift)(weights, shifts)
    np.testing.assert_allclose(got, reference.shift(weights, shifts), **ROUNDING)


@hypothesis.given(st.data())
def test_sharpen_is_equation_9(data):
    weights = data.draw(strategies.simplex(data.draw(strategies.slots)))
    sharpness = data.draw(strategies.scalars(1, 10))
    got = jax.jit(addressing.sharpen)(weights, sharpness)
    np.testing.assert_allclose(got, reference.sharpen(weights, sharpness), **ROUNDING)


@hypothesis.given(strategies.addresses())
def test_address_is_figure_2_and_stays_on_the_simplex(drawn):
    slots, previous, emitted = drawn
    got = jax.jit(addressing.address)(slots, previous, emitted)
    want = reference.address(
        slots,
        previous,
        k=emitted.key,
        beta=emitted.strength,
        g=emitted.gate,
        s=emitted.shift,
        gamma=emitted.sharpness,
    )
    # Sharpening multiplies the relative error of what comes before it, by at most 10 here.
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(), 1.0, atol=1e-6)


@pytest.mark.parametrize("function", ["content", "sharpen"])
@hypothesis.given(data=st.data())
def test_weightings_stay_on_the_simplex_at_extreme_parameters(function, data):
    size = data.draw(strategies.slots)
    extreme = data.draw(st.sampled_from([1.0, 50.0, 1e3, 1e4]).map(np.float32))
    if function == "content":
        slots, key = data.draw(strategies.reals(size, 3)), data.draw(strategies.reals(3))
        got = jax.jit(addressing.content_weights)(slots, key, extreme)
    else:
        got = jax.jit(addressing.sharpen)(data.draw(strategies.simplex(size)), extreme)
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(), 1.0, atol=1e-6)


def test_similarity_does_not_depend_on_length_and_has_the_sign_of_the_angle():
    slots = jnp.array([[2.0, 0.0], [-0.001, 0.0], [0.0, 500.0], [3.0, 3.0]])
    got = addressing.cosine_similarity(jnp.array([0.01, 0.0]), slots)
    np.testing.assert_allclose(got, [1.0, -1.0, 0.0, np.sqrt(0.5)], atol=1e-6)


@pytest.mark.parametrize("length", [1e-5, 1e-3, 1.0, 1e3, 1e6])
def test_similarity_is_exact_from_tiny_to_huge_vectors(length):
    slots = np.float32(length) * strategies.normal(0, 4, 3)
    key = np.float32(length) * strategies.normal(1, 3)
    want = [reference.cosine(key, row) for row in slots]
    np.testing.assert_allclose(addressing.cosine_similarity(key, slots), want, **ROUNDING)


def test_strength_zero_looks_everywhere_alike():
    got = addressing.content_weights(strategies.normal(0, 5, 3), strategies.normal(1, 3), jnp.array(0.0))
    np.testing.assert_allclose(got, np.full(5, 0.2), atol=1e-7)


def test_huge_strength_looks_at_the_matching_slot_alone():
    slots = strategies.normal(0, 6, 4)
    for slot in range(6):
        got = addressing.content_weights(slots, 3.0 * slots[slot], jnp.array(1e4))
        np.testing.assert_allclose(got, np.eye(6)[slot], atol=1e-6)


def test_gate_one_takes_content_and_gate_zero_the_previous_weighting():
    content, previous = np.float32([0.1, 0.2, 0.7]), np.float32([0.5, 0.5, 0.0])
    got = addressing.interpolate(content, previous, jnp.array(1.0))
    np.testing.assert_array_equal(got, content)
    got = addressing.interpolate(content, previous, jnp.array(0.0))
    np.testing.assert_array_equal(got, previous)


@pytest.mark.parametrize("max_shift", [0, 1, 2, 3])
def test_one_hot_shift_moves_the_focus_by_exactly_that_many_slots_round_the_ring(max_shift):
    for start in range(5):
        for move in range(-max_shift, max_shift + 1):
            shifts = np.eye(2 * max_shift + 1, dtype=np.float32)[max_shift + move]
            got = addressing.shift(np.eye(5, dtype=np.float32)[start], shifts)
            np.testing.assert_array_equal(got, np.eye(5)[(start + move) % 5])


def test_the_entry_after_the_middle_moves_up_and_wraps_from_the_last_slot_to_the_first():
    up = np.float32([0, 0, 1])
    got = addressing.shift(np.float32([0, 0.25, 0, 0.75]), up)
    np.testing.assert_array_equal(got, [0.75, 0, 0.25, 0])


def test_sharpness_one_renormalises():
    got = addressing.sharpen(np.float32([0.2, 0.6, 0.0, 1.2]), jnp.array(1.0))
    np.testing.assert_allclose(got, [0.1, 0.3, 0.0, 0.6], atol=1e-6)


def test_large_sharpness_leaves_the_largest_weight_alone_and_ties_share():
    got = addressing.sharpen(np.float32([0.2, 0.45, 0.35]), jnp.array(1000.0))
    np.testing.assert_allclose(got, [0, 1, 0], atol=1e-6)
    got = addressing.sharpen(np.float32([0.2, 0.4, 0.4]), jnp.array(1000.0))
    np.testing.assert_allclose(got, [0, 0.5, 0.5], atol=1e-6)


def test_a_closed_gate_and_a_one_hot_shift_walk_along_the_slots_whatever_the_memory_holds():
    emitted = AddressParameters(
        key=jnp.array([1.0, -2.0]),
        strength=jnp.array(5.0),
        gate=jnp.array(0.0),
        shift=jnp.array([0.0, 0.0, 1.0]),
        sharpness=jnp.array(2.0),
    )
    slots, weights = strategies.normal(0, 4, 2), jax.nn.one_hot(0, 4)
    visited = []
    for _ in range(5):
        weights = addressing.address(slots, weights, emitted)
        visited.append(int(weights.argmax()))
        np.testing.assert_allclose(weights.max(), 1.0, atol=1e-6)
    assert visited == [1, 2, 3, 0, 1]


ZERO, ONE_HOT = np.zeros(5, np.float32), np.eye(5, dtype=np.float32)[1]
CONSTANT = np.full((5, 3), 1e-6, np.float32)
SLOTS = strategies.normal(0, 5, 3)
ZERO_ROWS = SLOTS * np.float32([[1], [0], [1], [0], [0]])
TINY = np.float32([1e-38, 1e-20, 1e-10, 1e-3, 1.0])
DEGENERATE = {
    "zero key": (SLOTS, np.zeros(3), 1.0, 0.5, ONE_HOT, 2.0),
    "zero rows": (ZERO_ROWS, np.ones(3), 1.0, 0.5, ONE_HOT, 2.0),
    "zero key and zero memory": (0 * SLOTS, np.zeros(3), 1.0, 0.5, ONE_HOT, 2.0),
    "constant memory": (CONSTANT, np.ones(3), 1.0, 0.5, ONE_HOT, 2.0),
    "constant memory, zero key": (CONSTANT, np.zeros(3), 1e4, 0.5, ONE_HOT, 2.0),
    "tiny vectors": (SLOTS * 1e-30, np.full(3, 1e-30), 1e4, 0.5, ONE_HOT, 2.0),
    "strength 10000": (SLOTS, SLOTS[2], 1e4, 1.0, ONE_HOT, 1.0),
    "strength 10000 on zero rows": (ZERO_ROWS, SLOTS[2], 1e4, 1.0, ONE_HOT, 1.0),
    "strength 10000, zero key": (SLOTS, np.zeros(3), 1e4, 1.0, ONE_HOT, 1.0),
    "strength 10000, all similarities -1": (
        -np.abs(SLOTS[:1]) * np.ones((5, 1)),
        np.abs(SLOTS[0]),
        1e4,
        1.0,
        ONE_HOT,
        1.0,
    ),
    "sharpness 1000": (SLOTS, SLOTS[2], 1.0, 0.5, ONE_HOT, 1e3),
    "sharpness 1000 of one-hot": (SLOTS, SLOTS[2], 1.0, 0.0, ONE_HOT, 1e3),
    "sharpness 1000 of uniform": (SLOTS, np.zeros(3), 1.0, 1.0, ONE_HOT, 1e3),
    "one-hot previous, gate 0": (SLOTS, SLOTS[2], 1.0, 0.0, ONE_HOT, 1.0),
    "zero previous, gate 0": (SLOTS, SLOTS[2], 1.0, 0.0, ZERO, 2.0),
    "zero previous, gate 0, sharpness 1000": (SLOTS, SLOTS[2], 1.0, 0.0, ZERO, 1e3),
    "weights of every size": (SLOTS, SLOTS[2], 1.0, 0.0, TINY, 3.0),
    "everything at once": (CONSTANT, np.zeros(3), 1e4, 0.0, ONE_HOT, 1e3),
}


@functools.cache
def _address_with_gradients():
    def weighted(slots, previous, emitted, direction):
        weights = addressing.address(slots, previous, emitted)
        return jnp.vdot(weights, direction), weights

    return jax.jit(jax.grad(weighted, argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize("shifts", [[0, 0, 1], [0.3, 0.3, 0.4]], ids=["one-hot", "spread"])
@pytest.mark.parametrize("point", DEGENERATE)
def test_degenerate_points_have_finite_weightings_and_finite_gradients(point, shifts):
    slots, key, strength, gate, previous, sharpness = DEGENERATE[point]
    emitted = AddressParameters(key, strength, gate, np.array(shifts), sharpness)
    slots, previous, emitted = jax.tree.map(np.float32, (slots, previous, emitted))
    for direction in (np.eye(5, dtype=np.float32)[2], strategies.normal(3, 5)):
        gradients, weights = _address_with_gradients()(slots, previous, emitted, direction)
        assert strategies.all_finite(weights)
        assert strategies.all_finite(gradients)
    np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-5)


def test_a_zero_vector_is_similar_to_nothing():
    slots = np.float32([[1, 2], [0, 0]])
    got = addressing.cosine_similarity(np.float32([1, 2]), slots)
    np.testing.assert_allclose(got, [1, 0], atol=1e-6)
    np.testing.assert_array_equal(addressing.cosine_similarity(np.zeros(2, np.float32), slots), 0)


def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        slots, key, raw = (
            jnp.asarray(strategies.normal(seed, *shape), float)
            for seed, shape in ((0, (5, 3)), (1, (3,)), (2, (5,)))
        )
        weights, shifts = jax.nn.softmax(raw), jnp.array([0.2, 0.5, 0.3])
        strength, gate, sharpness = jnp.array(3.0), jnp.array(0.4), jnp.array(2.5)
        emitted = AddressParameters(key, strength, gate, shifts, sharpness)
        for function, arguments in (
            (addressing.cosine_similarity, (key, slots)),
            (addressing.content_weights, (slots, key, strength)),
            (addressing.interpolate, (weights, weights[::-1], gate)),
            (addressing.shift, (weights, shifts)),
            (addressing.sharpen, (weights, sharpness)),
            (addressing.address, (slots, weights, emitted)),
        ):
            check_grads(jax.jit(function), arguments, order=1)


def test_vmap_over_heads_equals_one_by_one():
    slots, previous = strategies.normal(0, 5, 3), np.eye(5, dtype=np.float32)[[0, 3]]
    emitted = AddressParameters(
        key=strategies.normal(1, 2, 3),
        strength=np.float32([1, 4]),
        gate=np.float32([0.1, 0.9]),
        shift=np.float32([[0.1, 0.2, 0.7], [1, 0, 0]]),
        sharpness=np.float32([1.5, 3]),
    )
    together = jax.vmap(addressing.address, (None, 0, 0))(slots, previous, emitted)
    for head in range(2):
        own = jax.tree.map(lambda leaf, head=head: leaf[head], emitted)
        alone = addressing.address(slots, previous[head], own)
        np.testing.assert_allclose(together[head], alone, **ROUNDING)


@pytest.mark.parametrize(
    ("function", "shapes", "named"),
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
def test_shapes_that_do_not_fit_are_refused_by_their_sizes(function, shapes, named):
    with pytest.raises(AssertionError) as error:
        function(*map(jnp.zeros, shapes))
    for size in named:
        assert size in str(error.value)
