"""What is minimised and what is counted, over the scored steps of a batch."""

import jax
import jax.numpy as jnp
import optax

from ntm_jax._shapes import check_shapes

__all__ = ["bit_cross_entropy", "bit_errors", "bits_per_sequence"]


def bit_cross_entropy(logits: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    """Cross-entropy of independent bits, averaged over the weighted steps and their bits.

    Equation of section 4: -sum_t sum_i [y log o + (1 - y) log(1 - o)], over its number of terms.

    Args:
      logits: [B, T, O], before the sigmoid.
      targets: [B, T, O], in [0, 1].
      weights: [B, T], non-negative; 0 leaves a step out.

    Returns:
      Nats per bit, scalar; 0 where all weights are 0.
    """
    check_shapes(logits=(logits, "BTO"), targets=(targets, "BTO"), weights=(weights, "BT"))
    bits = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets)
    weights = weights.astype(jnp.float32)
    total = jnp.maximum(jnp.sum(weights), 1e-9) * logits.shape[-1]
    return jnp.sum(bits * weights[..., None]) / total


def bits_per_sequence(logits: jax.Array, targets: jax.Array, mask: jax.Array) -> jax.Array:
    """Cost of each sequence, as the paper's learning curves show it.

    Args:
      logits: [B, T, O], before the sigmoid.
      targets: [B, T, O], in [0, 1].
      mask: [B, T], true at the scored steps.

    Returns:
      Bits (logarithms to base 2), [B].
    """
    check_shapes(logits=(logits, "BTO"), targets=(targets, "BTO"), mask=(mask, "BT"))
    nats = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets)
    return jnp.sum(jnp.where(mask[..., None], nats, 0.0), axis=(1, 2)) / jnp.log(2.0)


def bit_errors(logits: jax.Array, targets: jax.Array, mask: jax.Array) -> jax.Array:
    """Wrong bits of each sequence, an output counting as 1 where its probability is above one half.

    Args:
      logits: [B, T, O].
      targets: [B, T, O], 0 or 1 at the scored steps.
      mask: [B, T], true at the scored steps.

    Returns:
      [B], float32. A logit that is not a number is wrong whatever the target.
    """
    check_shapes(logits=(logits, "BTO"), targets=(targets, "BTO"), mask=(mask, "BT"))
    wrong = ((logits > 0) != (targets > 0.5)) | jnp.isnan(logits)
    return jnp.sum(wrong & mask[..., None], axis=(1, 2)).astype(jnp.float32)
