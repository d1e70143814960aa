"""Content and location addressing: equations 5 to 9 and figure 2 of Graves et al. (2014).

Each function takes one example and one head; `jax.vmap` adds heads and batches. N is the number of
memory slots, M the slot width, S = 2 max_shift + 1 the number of allowed shifts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ntm_jax._shapes import check_shapes

__all__ = [
    "AddressParameters",
    "address",
    "content_weights",
    "cosine_similarity",
    "interpolate",
    "sharpen",
    "shift",
]

# Lower limit of norms in equation 6: a zero vector gets similarity 0 and a finite gradient. The
# similarity is exact for norms from here to 1e19, where squares overflow float32, and its gradient
# up to 1e12; vectors with larger norms get similarity 0 as well.
_MIN_NORM = 1e-6

# Lower limit of weights in the logarithm of equation 9.
_MIN_WEIGHT = 1e-30


class AddressParameters(NamedTuple):
    """Parameters from which one head computes its weighting (section 3.3), each in its range.

    Attributes:
      key: k, [M].
      strength: beta, scalar, at least 0.
      gate: g, scalar in (0, 1); 1 selects the content weighting, 0 the previous weighting.
      shift: s, [S], on the simplex; shift[S // 2] is the weight of shift 0, shift[S // 2 + 1] that
        of shift +1.
      sharpness: gamma, scalar, at least 1.
    """

    key: jax.Array
    strength: jax.Array
    gate: jax.Array
    shift: jax.Array
    sharpness: jax.Array


def cosine_similarity(key: jax.Array, memory: jax.Array) -> jax.Array:
    """Computes the cosine similarity of a key with every slot.

    Equation 6: K[u, v] = u . v / (|u| |v|). Zero vectors and vectors with norms above 1e19 have
    similarity 0 with every vector.

    Args:
      key: u, [M].
      memory: [N, M]; each row is a v.

    Returns:
      The similarities, [N], in [-1, 1].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(key=(key, "M"), memory=(memory, "NM"))
    # Transposed once, so that a memory that `access_memory` transposed is used as it is stored.
    transposed = memory.T
    # Not divided by the product of the norms: it can overflow, and gradients would be NaN.
    return key @ transposed / _norm(key) / _norm(transposed.T)


def content_weights(memory: jax.Array, key: jax.Array, strength: jax.Array) -> jax.Array:
    """Computes the content weighting: a softmax of the similarities to the key.

    Equation 5: w_c(i) = exp(beta K[k, M(i)]) / sum_j exp(beta K[k, M(j)]).

    Args:
      memory: [N, M].
      key: k, [M].
      strength: beta, scalar, at least 0.

    Returns:
      The content weighting w_c, [N].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(memory=(memory, "NM"), key=(key, "M"), strength=(strength, ""))
    return jax.nn.softmax(strength * cosine_similarity(key, memory))


def interpolate(content: jax.Array, previous: jax.Array, gate: jax.Array) -> jax.Array:
    """Interpolates between the content weighting and the previous weighting.

    Equation 7: w_g = g w_c + (1 - g) w_previous.

    Args:
      content: w_c, [N].
      previous: w_previous, [N], the head's weighting at the previous step.
      gate: g, scalar in [0, 1].

    Returns:
      The gated weighting w_g, [N].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(content=(content, "N"), previous=(previous, "N"), gate=(gate, ""))
    return gate * content + (1.0 - gate) * previous


def shift(weights: jax.Array, shift_weights: jax.Array) -> jax.Array:
    """Shifts the weighting by a circular convolution.

    Equation 8: w~(i) = sum_j w(j) s(i - j), indices modulo N.

    Args:
      weights: w_g, [N].
      shift_weights: s, [S] with S odd; shift_weights[S // 2] is the weight of shift 0,
        shift_weights[S // 2 + 1] that of shift +1, to the next higher slot.

    Returns:
      The shifted weighting w~, [N].

    Raises:
      AssertionError: a shape has the wrong rank, or S is even.
    """
    check_shapes(weights=(weights, "N"), shift_weights=(shift_weights, "S"))
    num_shifts = shift_weights.shape[0]
    if num_shifts % 2 == 0:
        raise AssertionError(f"shift_weights: expected an odd number of shifts, got {num_shifts}")
    offsets = range(-(num_shifts // 2), num_shifts // 2 + 1)
    # A matrix product with the rolled copies, because its transposes are matrix products too.
    return shift_weights @ jnp.stack([jnp.roll(weights, offset) for offset in offsets])


def sharpen(weights: jax.Array, sharpness: jax.Array) -> jax.Array:
    """Sharpens the weighting: raises it to a power and normalizes it.

    Equation 9: w(i) = w~(i)^gamma / sum_j w~(j)^gamma, computed as the softmax of gamma log w~,
    which neither overflows nor divides by zero.

    Args:
      weights: w~, [N], non-negative.
      sharpness: gamma, scalar, at least 1.

    Returns:
      The weighting w, [N].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(weights=(weights, "N"), sharpness=(sharpness, ""))
    return jax.nn.softmax(sharpness * jnp.log(_at_least(_MIN_WEIGHT, weights)))


def address(memory: jax.Array, previous: jax.Array, parameters: AddressParameters) -> jax.Array:
    """Computes a head's weighting by content and location addressing: figure 2.

    Args:
      memory: [N, M].
      previous: [N], the head's weighting at the previous step.
      parameters: the head's address parameters.

    Returns:
      The weighting, [N], non-negative with sum 1.

    Raises:
      AssertionError: the shapes do not match.
    """
    content = content_weights(memory, parameters.key, parameters.strength)
    gated = interpolate(content, previous, parameters.gate)
    return sharpen(shift(gated, parameters.shift), parameters.sharpness)


def _norm(vectors: jax.Array) -> jax.Array:
    # The limit is inside the square root, because its gradient at zero is infinite.
    return jnp.sqrt(_at_least(_MIN_NORM**2, jnp.sum(jnp.square(vectors), axis=-1)))


def _at_least(limit: float, values: jax.Array) -> jax.Array:
    # Below the limit the gradient is zero. The gradient of `jnp.maximum` is a product with zero,
    # which is NaN where a sharpness of 1,000 makes the other factor infinite.
    if values.dtype == jnp.float16:
        limit = max(limit, float(jnp.finfo(jnp.float16).tiny))
    return jnp.where(values < limit, limit, values)
