import math

from support import strategies
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from ntm_jax.tasks import losses

loss_and_gradient = jax.jit(jax.value_and_grad(losses.bit_cross_entropy))

SHAPES = st.sampled_from([(1, 1, 1), (2, 3, 2)])


def _by_hand(logits, targets, weights):
    total = terms = 0.0
    for index in np.ndindex(*logits.shape):
        o = 1.0 / (1.0 + math.exp(-float(logits[index])))
        y, weight = float(targets[index]), float(weights[index[:2]])
        total -= weight * (y * math.log(o) + (1.0 - y) * math.log(1.0 - o))
        terms += weight
    return total / terms if terms else 0.0


@hypothesis.given(st.data())
def test_cross_entropy_is_the_weighted_mean_over_steps_and_bits(data):
    shape = data.draw(SHAPES)
    logits, targets = data.draw(strategies.reals(*shape)), data.draw(strategies.units(*shape))
    weights = data.draw(strategies.units(*shape[:2]))
    got = jax.jit(losses.bit_cross_entropy)(logits, targets, weights)
    np.testing.assert_allclose(got, _by_hand(logits, targets, weights), rtol=1e-5, atol=1e-6)


@hypothesis.given(st.data())
def test_bit_errors_count_the_wrong_bits_of_every_sequence(data):
    shape = data.draw(SHAPES)
    logits = data.draw(strategies.reals(*shape))
    targets, mask = (data.draw(strategies.units(*s)).round() for s in (shape, shape[:2]))
    got = jax.jit(losses.bit_errors)(logits, targets, mask > 0)
    want = np.zeros(shape[0])
    for index in np.ndindex(*shape):
        said = 1.0 if 1.0 / (1.0 + math.exp(-float(logits[index]))) > 0.5 else 0.0
        want[index[0]] += bool(mask[index[:2]]) and said != targets[index]
    np.testing.assert_array_equal(got, want)
    assert got.dtype == jnp.float32


@hypothesis.given(st.data())
def test_bits_per_sequence_is_the_cost_of_each_sequence_in_bits(data):
    shape = data.draw(SHAPES)
    logits, targets = data.draw(strategies.reals(*shape)), data.draw(strategies.units(*shape))
    mask = data.draw(strategies.units(*shape[:2])) > 0.5
    got = jax.jit(losses.bits_per_sequence)(logits, targets, mask)
    want = [
        _by_hand(*(array[i : i + 1] for array in (logits, targets, mask)))
        * (mask[i].sum() * shape[2] / math.log(2))
        for i in range(shape[0])
    ]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_unweighted_steps_have_no_say_and_no_gradient():
    logits, targets = strategies.normal(0, 2, 4, 3), np.ones((2, 4, 3), np.float32)
    weights = np.float32([[0, 1, 1, 0], [1, 0, 0, 0]])
    other = np.where(weights[..., None] > 0, logits, np.float32(77.0))
    loss, gradient = loss_and_gradient(logits, targets, weights)
    np.testing.assert_array_equal(loss, loss_and_gradient(other, targets, weights)[0])
    np.testing.assert_array_equal(gradient[weights == 0], 0.0)
    assert (gradient[weights > 0] != 0).all()


def test_a_boolean_mask_is_a_weight():
    logits, targets = strategies.normal(0, 2, 3, 2), np.zeros((2, 3, 2), np.float32)
    mask = np.array([[True, False, True], [False, True, False]])
    got = losses.bit_cross_entropy(logits, targets, mask)
    np.testing.assert_allclose(got, _by_hand(logits, targets, mask), rtol=1e-5)


def test_nothing_scored_is_zero_with_a_finite_gradient():
    arguments = jnp.ones((2, 3, 2)), jnp.ones((2, 3, 2)), jnp.zeros((2, 3))
    loss, gradient = loss_and_gradient(*arguments)
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, 0.0)
    np.testing.assert_array_equal(losses.bit_errors(*arguments[:2], arguments[2] > 0), 0.0)


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_saturated_logits_have_a_finite_loss_and_gradient(size):
    logits = jnp.array([[[size, -size]]])
    for targets in (jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, 1.0]]])):
        loss, gradient = loss_and_gradient(logits, targets, jnp.ones((1, 1)))
        assert strategies.all_finite((loss, gradient))


def test_bfloat16_logits_are_summed_in_float32():
    logits = jnp.zeros((1, 2000, 8), jnp.bfloat16)
    loss = losses.bit_cross_entropy(logits, jnp.zeros((1, 2000, 8)), jnp.ones((1, 2000)))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, math.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("logit", "target", "errors"),
    [(np.nan, 0.0, 1), (np.nan, 1.0, 1), (0.0, 0.0, 0), (0.0, 1.0, 1), (1e-3, 1.0, 0)],
)
def test_not_a_number_is_always_wrong_and_even_odds_say_zero(logit, target, errors):
    one, mask = jnp.ones((1, 1, 1)), jnp.ones((1, 1), bool)
    np.testing.assert_array_equal(losses.bit_errors(logit * one, target * one, mask), [errors])


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (losses.bit_cross_entropy, [(2, 3, 4), (2, 3, 1), (2, 3)]),
        (losses.bit_cross_entropy, [(2, 3, 4), (2, 3, 4), (3, 2)]),
        (losses.bit_cross_entropy, [(1, 3, 4), (1, 3, 4), (1, 3, 1)]),
        (losses.bits_per_sequence, [(2, 3, 4), (2, 3, 1), (2, 3)]),
        (losses.bits_per_sequence, [(1, 3, 4), (1, 3, 4), (1, 3, 1)]),
        (losses.bit_errors, [(2, 3, 4), (2, 1, 4), (2, 3)]),
        (losses.bit_errors, [(2, 3, 4), (2, 3, 4), (3,)]),
        (losses.bit_errors, [(2, 3, 4), (2, 3, 4), (2, 1)]),
    ],
)
def test_shapes_that_would_broadcast_are_refused(function, shapes):
    logits, targets, weights = (jnp.ones(shape) for shape in shapes)
    with pytest.raises(AssertionError, match=str(shapes[-1][0])):
        function(logits, targets, weights > 0)
