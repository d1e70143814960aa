"""Where a head looks: equations 5 to 9 and figure 2 of Graves et al. (2014).

Every function is written for one example and one head; `jax.vmap` adds heads and batches. N is
the number of memory slots, M the width of a slot, S = 2 max_shift + 1 the number of allowed shifts.
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

# Lengths below this count as zero, so that a zero vector is similar to nothing and its gradient
# is finite. Equation 6 is exact for every longer vector, up to lengths of 1e19, whose squares are
# the largest in float32, and its gradient up to 1e12. A longer one is similar to nothing either.
_MIN_NORM = 1e-6

# A weighting below this counts as this in the logarithm of equation 9.
_MIN_WEIGHT = 1e-30


class AddressParameters(NamedTuple):
    """What one head emits to choose its weighting (section 3.3), each already in its range.

    Attributes:
      key: k, [M].
      strength: beta, scalar, at least 0.
      gate: g, scalar in (0, 1); 1 takes the content weighting, 0 the previous one.
      shift: s, [S], on the simplex; shift[S // 2] stays, shift[S // 2 + 1] moves one slot up.
      sharpness: gamma, scalar, at least 1.
    """

    key: jax.Array
    strength: jax.Array
    gate: jax.Array
    shift: jax.Array
    sharpness: jax.Array


def cosine_similarity(key: jax.Array, memory: jax.Array) -> jax.Array:
    """Cosine similarity of the key with every slot.

    Equation 6: K[u, v] = u . v / (|u| |v|). A zero vector has similarity 0 with everything, and so
    has one longer than 1e19.

    Args:
      key: [M].
      memory: [N, M].

    Returns:
      Similarities in [-1, 1], [N].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(key=(key, "M"), memory=(memory, "NM"))
    # By one length after the other: by an infinite product, gradients would not be numbers.
    return memory @ key / _norm(key) / _norm(memory)


def content_weights(memory: jax.Array, key: jax.Array, strength: jax.Array) -> jax.Array:
    """Weighting by content: softmax of the similarity to the key.

    Equation 5: w_c(i) = exp(beta K[k, M(i)]) / sum_j exp(beta K[k, M(j)]).

    Args:
      memory: [N, M].
      key: k, [M].
      strength: beta, scalar, at least 0.

    Returns:
      The weighting, [N].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(memory=(memory, "NM"), key=(key, "M"), strength=(strength, ""))
    return jax.nn.softmax(strength * cosine_similarity(key, memory))


def interpolate(content: jax.Array, previous: jax.Array, gate: jax.Array) -> jax.Array:
    """Blend of the content weighting and the previous weighting.

    Equation 7: w_g = g w_c + (1 - g) w_previous.

    Args:
      content: w_c, [N].
      previous: the head's weighting one step ago, [N].
      gate: g, scalar in [0, 1].

    Returns:
      The weighting, [N].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(content=(content, "N"), previous=(previous, "N"), gate=(gate, ""))
    return gate * content + (1.0 - gate) * previous


def shift(weights: jax.Array, shift_weights: jax.Array) -> jax.Array:
    """The weighting moved round the ring of slots.

    Equation 8: w~(i) = sum_j w(j) s(i - j), indices modulo N.

    Args:
      weights: w_g, [N].
      shift_weights: s, [S] with S odd; shift_weights[S // 2] stays, shift_weights[S // 2 + 1]
        moves the focus one slot up.

    Returns:
      The weighting, [N].

    Raises:
      AssertionError: a rank does not fit, or S is even.
    """
    check_shapes(weights=(weights, "N"), shift_weights=(shift_weights, "S"))
    num_shifts = shift_weights.shape[0]
    if num_shifts % 2 == 0:
        raise AssertionError(f"shift_weights: expected an odd number of shifts, got {num_shifts}")
    offsets = range(-(num_shifts // 2), num_shifts // 2 + 1)
    # A product with the rolled copies, so that both of its transposes are products.
    return shift_weights @ jnp.stack([jnp.roll(weights, offset) for offset in offsets])


def sharpen(weights: jax.Array, sharpness: jax.Array) -> jax.Array:
    """The weighting raised to a power and normalised.

    Equation 9: w(i) = w~(i)^gamma / sum_j w~(j)^gamma, computed as a softmax of gamma log w~, which
    neither overflows nor divides by zero.

    Args:
      weights: w~, [N], non-negative.
      sharpness: gamma, scalar, at least 1.

    Returns:
      The weighting, [N].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(weights=(weights, "N"), sharpness=(sharpness, ""))
    return jax.nn.softmax(sharpness * jnp.log(_at_least(_MIN_WEIGHT, weights)))


def address(memory: jax.Array, previous: jax.Array, parameters: AddressParameters) -> jax.Array:
    """One head's next weighting: figure 2, whole.

    Args:
      memory: [N, M].
      previous: the head's weighting one step ago, [N].
      parameters: what the head emitted.

    Returns:
      The weighting, [N], non-negative and summing to one.

    Raises:
      AssertionError: a shape does not fit.
    """
    content = content_weights(memory, parameters.key, parameters.strength)
    gated = interpolate(content, previous, parameters.gate)
    return sharpen(shift(gated, parameters.shift), parameters.sharpness)


def _norm(vectors: jax.Array) -> jax.Array:
    # The limit is inside the root: the gradient of a root at zero is infinite.
    return jnp.sqrt(_at_least(_MIN_NORM**2, jnp.sum(jnp.square(vectors), axis=-1)))


def _at_least(limit: float, values: jax.Array) -> jax.Array:
    # Below the limit the gradient is zero. That of a maximum is a product with zero, which is not
    # a number where a sharpness of 1,000 has made the other factor infinite.
    return jnp.where(values < limit, limit, values)
