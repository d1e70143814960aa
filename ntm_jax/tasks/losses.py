"""Cross-entropy and errors of binary targets, and means and sums over the steps of a batch."""

import jax
import jax.numpy as jnp
import optax

from ntm_jax._shapes import check_shapes

__all__ = [
    "bit_cross_entropy",
    "bit_errors",
    "bit_nats",
    "bits_per_sequence",
    "sum_bits",
    "weighted_mean",
    "wrong_bits",
]


def bit_cross_entropy(logits: jax.Array, targets: jax.Array, loss_weights: jax.Array) -> jax.Array:
    """Computes the cross-entropy of independent bits, as a weighted mean over steps and bits.

    Section 4: -sum_t sum_i [y log o + (1 - y) log(1 - o)], divided by its number of terms.

    Args:
      logits: [B, T, O], before the sigmoid.
      targets: [B, T, O], in [0, 1].
      loss_weights: [B, T], non-negative; 0 leaves a step out.

    Returns:
      Nats per bit, scalar; 0 if all weights are 0.

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(
        logits=(logits, "BTO"), targets=(targets, "BTO"), loss_weights=(loss_weights, "BT")
    )
    return weighted_mean(bit_nats(logits, targets), loss_weights)


def bits_per_sequence(logits: jax.Array, targets: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes the cost of each sequence, the unit of the paper's learning curves.

    Args:
      logits: [B, T, O], before the sigmoid.
      targets: [B, T, O], in [0, 1].
      mask: [B, T], true at the scored steps.

    Returns:
      Cross-entropy in bits, [B].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(logits=(logits, "BTO"), targets=(targets, "BTO"), mask=(mask, "BT"))
    return sum_bits(bit_nats(logits, targets), mask)


def bit_errors(logits: jax.Array, targets: jax.Array, mask: jax.Array) -> jax.Array:
    """Counts the bit errors of each sequence; a bit is predicted as 1 if its logit is positive.

    Args:
      logits: [B, T, O], before the sigmoid; NaN counts as an error.
      targets: [B, T, O], 0 or 1 at the scored steps.
      mask: [B, T], true at the scored steps.

    Returns:
      Number of errors, [B], float32.

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(logits=(logits, "BTO"), targets=(targets, "BTO"), mask=(mask, "BT"))
    return jnp.sum(wrong_bits(logits, targets) & mask[..., None], axis=(1, 2)).astype(jnp.float32)


def bit_nats(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns the cross-entropy of each bit in nats, in the shape of both arguments, float32."""
    return optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets)


def wrong_bits(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns where a logit is NaN or predicts the other bit, in the shape of both arguments."""
    return ((logits > 0) != (targets > 0.5)) | jnp.isnan(logits)


def weighted_mean(nats: jax.Array, loss_weights: jax.Array) -> jax.Array:
    """Returns the mean of nats [B, T, U] with weights [B, T]; 0 if all weights are 0."""
    loss_weights = loss_weights.astype(jnp.float32)
    num_units = jnp.maximum(jnp.sum(loss_weights), 1e-9) * nats.shape[-1]
    return jnp.sum(nats * loss_weights[..., None]) / num_units


def sum_bits(nats: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the sum of nats [B, T, U] over the steps in the mask [B, T], in bits, [B]."""
    return jnp.sum(jnp.where(mask[..., None], nats, 0.0), axis=(1, 2)) / jnp.log(2.0)
