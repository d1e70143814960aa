"""The dynamic N-grams task of section 4.4: predict the next bit of a random N-gram source.

Every sequence has its own source: a table with one probability that the next bit is 1 for each of
the 2^C contexts of C bits, sampled from Beta(1/2, 1/2). The first C bits are fair. One example with
a context of two bits (time runs down):

    inputs  targets  mask
      1       1       .
      1       .       x     <- the third bit, sampled with the probability of context 1 1
      .       1       x
      1       1       x
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.tasks.base import FULL_RANGE, Batch, Size, SizeRange, SuccessThresholds, Task

__all__ = ["Ngrams", "optimal_probabilities"]


@dataclasses.dataclass(frozen=True)
class Ngrams(Task):
    """Predict bits that depend on the preceding bits through a random table.

    Attributes:
      context_length: C, number of bits that determine the probability of the next, 1 to 16; a
        context of 5 makes 6-grams.
      max_length: bits per sequence, more than C.

    Raises:
      ValueError: a field is out of range.
    """

    size_axes: ClassVar = {"length": (200,)}
    fixed_size: ClassVar = True
    thresholds: ClassVar = SuccessThresholds(
        in_distribution=1.5, out_of_distribution=1.5, collapse=10.0
    )
    metric: ClassVar = "excess_bits_per_sequence"

    context_length: int = 5
    max_length: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.context_length <= 16:  # the table has 2^C entries per sequence
            raise ValueError(f"task.context_length: expected 1 to 16, got {self.context_length}")
        if self.max_length <= self.context_length:
            raise ValueError(
                "task.max_length: expected more than the "
                f"{self.context_length} bits of context, got {self.max_length}"
            )

    @property
    def input_features(self) -> int:
        """Size of an input vector, 1: the current bit."""
        return 1

    @property
    def output_features(self) -> int:
        """Size of a target vector, 1: the next bit."""
        return 1

    @property
    def min_size(self) -> Size:
        """The smallest length with a scored bit, C + 1."""
        return (self.context_length + 1,)

    @property
    def max_train_size(self) -> Size:
        """The only training length."""
        return (self.max_length,)

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples sequences of `max_length` bits, each from its own source."""
        del size_range
        return self.sample_size(key, batch_size, self.max_length)

    def sample_size(self, key: jax.Array, batch_size: int, length: int) -> Batch:
        """Samples sequences of `length` bits: length - 1 steps, the last length - C scored."""
        self.check_size(length)
        table_key, first_key, key = jax.random.split(key, 3)
        table = jax.random.beta(table_key, 0.5, 0.5, (batch_size, 2**self.context_length))
        first_bits = jax.random.bernoulli(first_key, 0.5, (batch_size, self.context_length))
        uniform = jax.random.uniform(key, (length - self.context_length, batch_size))

        def step(context: jax.Array, uniform: jax.Array) -> tuple[jax.Array, jax.Array]:
            probability = jnp.take_along_axis(table, _context_index(context)[:, None], 1)[:, 0]
            bit = uniform < probability
            return jnp.concatenate([context[:, 1:], bit[:, None]], 1), bit

        _, next_bits = jax.lax.scan(step, first_bits, uniform)
        bits = jnp.concatenate([first_bits, next_bits.T], 1).astype(jnp.float32)[..., None]
        mask = jnp.arange(length - 1) >= self.context_length - 1
        return Batch(bits[:, :-1], bits[:, 1:], jnp.broadcast_to(mask, bits.shape[:1] + mask.shape))

    def optimal_bits(self, batch: Batch) -> jax.Array:
        """Computes the cost of `optimal_probabilities` for each sequence, in bits, [B]."""
        probability = optimal_probabilities(batch.inputs, self.context_length)
        bits = -jnp.log2(jnp.where(batch.targets > 0.5, probability, 1.0 - probability))
        return jnp.sum(jnp.where(batch.mask[..., None], bits, 0.0), axis=(1, 2))


def optimal_probabilities(inputs: jax.Array, context_length: int) -> jax.Array:
    """Computes the predictions of the Bayes-optimal estimator.

    Equation 10: P(1 | N1, N0, context) = (N1 + 1/2) / (N1 + N0 + 1), where N1 and N0 count the ones
    and zeros that followed the context so far.

    Args:
      inputs: [B, T, 1], bits.
      context_length: C.

    Returns:
      Probability that the next bit is 1, [B, T, 1]; 1/2 at the first C - 1 steps.
    """
    bits = inputs[..., 0]
    num_steps = bits.shape[1]
    windows = jnp.stack(
        [bits[:, i : num_steps - context_length + 1 + i] for i in range(context_length)], axis=-1
    )
    context = jax.nn.one_hot(_context_index(windows > 0.5), 2**context_length)
    next_bits = bits[:, context_length:]  # the last context has none
    next_one_hot = jnp.stack([1.0 - next_bits, next_bits], axis=-1)
    counts = jnp.cumsum(context[:, :-1, :, None] * next_one_hot[:, :, None, :], axis=1)
    previous_counts = jnp.pad(counts, ((0, 0), (1, 0), (0, 0), (0, 0)))
    zeros, ones = jnp.moveaxis(jnp.einsum("btcn,btc->btn", previous_counts, context), -1, 0)
    probability = (ones + 0.5) / (ones + zeros + 1.0)
    first_steps = jnp.full((bits.shape[0], context_length - 1), 0.5)
    return jnp.concatenate([first_steps, probability], 1)[..., None]


def _context_index(context: jax.Array) -> jax.Array:
    """Returns the table index of contexts, [..., C], whose first bit is the most significant."""
    place_values = 2 ** jnp.arange(context.shape[-1] - 1, -1, -1)
    return context.astype(jnp.int32) @ place_values
