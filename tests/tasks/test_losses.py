import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from support import strategies

from ntm_jax.tasks import losses

loss_and_grad = jax.jit(jax.value_and_grad(losses.bit_cross_entropy))

SHAPES = st.sampled_from([(1, 1, 1), (2, 3, 2)])


def reference_cross_entropy(logits, targets, weights):
    total = num_terms = 0.0
    for index in np.ndindex(*logits.shape):
        o = 1.0 / (1.0 + math.exp(-float(logits[index])))
        y, weight = float(targets[index]), float(weights[index[:2]])
        total -= weight * (y * math.log(o) + (1.0 - y) * math.log(1.0 - o))
        num_terms += weight
    return total / num_terms if num_terms else 0.0


@hypothesis.given(st.data())
def test_cross_entropy_is_weighted_mean(data):
    shape = data.draw(SHAPES)
    logits, targets = data.draw(strategies.reals(*shape)), data.draw(strategies.units(*shape))
    weights = data.draw(strategies.units(*shape[:2]))
    actual = jax.jit(losses.bit_cross_entropy)(logits, targets, weights)
    expected = reference_cross_entropy(logits, targets, weights)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@hypothesis.given(st.data())
def test_bit_errors_match_reference(data):
    shape = data.draw(SHAPES)
    logits = data.draw(strategies.reals(*shape))
    targets, mask = (data.draw(strategies.units(*s)).round() for s in (shape, shape[:2]))
    actual = jax.jit(losses.bit_errors)(logits, targets, mask > 0)
    expected = np.zeros(shape[0])
    for index in np.ndindex(*shape):
        predicted = 1.0 if 1.0 / (1.0 + math.exp(-float(logits[index]))) > 0.5 else 0.0
        expected[index[0]] += bool(mask[index[:2]]) and predicted != targets[index]
    np.testing.assert_array_equal(actual, expected)
    assert actual.dtype == jnp.float32


@hypothesis.given(st.data())
def test_bits_per_sequence_match_reference(data):
    shape = data.draw(SHAPES)
    logits, targets = data.draw(strategies.reals(*shape)), data.draw(strategies.units(*shape))
    mask = data.draw(strategies.units(*shape[:2])) > 0.5
    actual = jax.jit(losses.bits_per_sequence)(logits, targets, mask)
    expected = [
        reference_cross_entropy(*(array[i : i + 1] for array in (logits, targets, mask)))
        * (mask[i].sum() * shape[2] / math.log(2))
        for i in range(shape[0])
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_zero_weights_exclude_steps():
    logits, targets = strategies.normal(0, 2, 4, 3), np.ones((2, 4, 3), np.float32)
    weights = np.float32([[0, 1, 1, 0], [1, 0, 0, 0]])
    other = np.where(weights[..., None] > 0, logits, np.float32(77.0))
    loss, gradient = loss_and_grad(logits, targets, weights)
    np.testing.assert_array_equal(loss, loss_and_grad(other, targets, weights)[0])
    np.testing.assert_array_equal(gradient[weights == 0], 0.0)
    assert (gradient[weights > 0] != 0).all()


def test_boolean_weights():
    logits, targets = strategies.normal(0, 2, 3, 2), np.zeros((2, 3, 2), np.float32)
    mask = np.array([[True, False, True], [False, True, False]])
    actual = losses.bit_cross_entropy(logits, targets, mask)
    np.testing.assert_allclose(actual, reference_cross_entropy(logits, targets, mask), rtol=1e-5)


def test_all_zero_weights_give_zero_loss():
    arguments = jnp.ones((2, 3, 2)), jnp.ones((2, 3, 2)), jnp.zeros((2, 3))
    loss, gradient = loss_and_grad(*arguments)
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, 0.0)
    np.testing.assert_array_equal(losses.bit_errors(*arguments[:2], arguments[2] > 0), 0.0)


@pytest.mark.parametrize("logit", [100.0, 1e4, 1e30])
def test_saturated_logits_give_finite_gradients(logit):
    logits = jnp.array([[[logit, -logit]]])
    for targets in (jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, 1.0]]])):
        loss, gradient = loss_and_grad(logits, targets, jnp.ones((1, 1)))
        assert strategies.all_finite((loss, gradient))


def test_bfloat16_logits_sum_in_float32():
    logits = jnp.zeros((1, 2000, 8), jnp.bfloat16)
    loss = losses.bit_cross_entropy(logits, jnp.zeros((1, 2000, 8)), jnp.ones((1, 2000)))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, math.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("logit", "target", "errors"),
    [(np.nan, 0.0, 1), (np.nan, 1.0, 1), (0.0, 0.0, 0), (0.0, 1.0, 1), (1e-3, 1.0, 0)],
)
def test_bit_errors_of_nan_and_zero_logits(logit, target, errors):
    ones, mask = jnp.ones((1, 1, 1)), jnp.ones((1, 1), bool)
    np.testing.assert_array_equal(losses.bit_errors(logit * ones, target * ones, mask), [errors])


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
def test_broadcastable_shapes_raise(function, shapes):
    logits, targets, weights = (jnp.ones(shape) for shape in shapes)
    with pytest.raises(AssertionError, match=str(shapes[-1][0])):
        function(logits, targets, weights > 0)
