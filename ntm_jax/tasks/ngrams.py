"""The dynamic N-grams task of section 4.4: predict the next bit of a source never seen before.

Every sequence has a source of its own: for each of the 2^C contexts of C bits a probability that
the next bit is 1, drawn from Beta(1/2, 1/2). The first C bits are fair coins. One example with a
context of two (time runs down):

    inputs  targets  mask
      1       1       .
      1       .       x     <- the third bit, drawn by the probability of context 1 1
      .       1       x
      1       1       x
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.training.success import Limits
from ntm_jax.tasks.base import WHOLE, Batch, Size, Span, Task

__all__ = ["Ngrams", "optimal_probabilities"]


@dataclasses.dataclass(frozen=True)
class Ngrams(Task):
    """Predict bits from a random table of the contexts before them.

    Attributes:
      context_length: C, bits that a next bit depends on, 1 to 16; 5 makes 6-grams.
      max_length: bits of a sequence, more than C.

    Raises:
      ValueError: a value out of its range.
    """

    axes: ClassVar = {"length": (200,)}
    one_size: ClassVar = True
    limits: ClassVar = Limits(trained=1.5, beyond=1.5, collapsed=10.0)
    judged_by: ClassVar = "excess_bits_per_sequence"

    context_length: int = 5
    max_length: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.context_length <= 16:  # a table of 2^C numbers for each sequence
            raise ValueError(f"task.context_length: expected 1 to 16, got {self.context_length}")
        if self.max_length <= self.context_length:
            raise ValueError(
                "task.max_length: expected more than the "
                f"{self.context_length} bits of context, got {self.max_length}"
            )

    @property
    def input_features(self) -> int:
        """One bit."""
        return 1

    @property
    def output_features(self) -> int:
        """One bit."""
        return 1

    @property
    def smallest_size(self) -> Size:
        """One bit with a whole context before it."""
        return (self.context_length + 1,)

    @property
    def trained_size(self) -> Size:
        """The one length there is."""
        return (self.max_length,)

    def min_slots(self, length: int) -> int:
        """One: what is to be kept are counts, and how they are is the machine's business."""
        del length
        return 1

    def sample(self, key: jax.Array, batch_size: int, span: Span = WHOLE) -> Batch:
        """Sequences, each of a source of its own.

        The length is that of `max_length`: max_length - 1 steps, of which the last max_length - C
        are scored, those that see a whole context.
        """
        del span  # one size alone
        return self.sample_at(key, batch_size, self.max_length)

    def sample_at(self, key: jax.Array, batch_size: int, length: int) -> Batch:
        """Sequences of another number of bits, more than C."""
        self.check_size(length)
        table_key, first_key, key = jax.random.split(key, 3)
        table = jax.random.beta(table_key, 0.5, 0.5, (batch_size, 2**self.context_length))
        first = jax.random.bernoulli(first_key, 0.5, (batch_size, self.context_length))
        drawn = jax.random.uniform(key, (length - self.context_length, batch_size))

        def step(context: jax.Array, drawn: jax.Array) -> tuple[jax.Array, jax.Array]:
            chance = jnp.take_along_axis(table, _number(context)[:, None], 1)[:, 0]
            bit = drawn < chance
            return jnp.concatenate([context[:, 1:], bit[:, None]], 1), bit

        _, further = jax.lax.scan(step, first, drawn)
        bits = jnp.concatenate([first, further.T], 1).astype(jnp.float32)[..., None]
        mask = jnp.arange(length - 1) >= self.context_length - 1
        return Batch(bits[:, :-1], bits[:, 1:], jnp.broadcast_to(mask, bits.shape[:1] + mask.shape))

    def optimal_bits(self, batch: Batch) -> jax.Array:
        """What `optimal_probabilities` pays for the scored bits of each sequence, [B]."""
        chance = optimal_probabilities(batch.inputs, self.context_length)
        bits = -jnp.log2(jnp.where(batch.targets > 0.5, chance, 1.0 - chance))
        return jnp.sum(jnp.where(batch.mask[..., None], bits, 0.0), axis=(1, 2))


def optimal_probabilities(inputs: jax.Array, context_length: int) -> jax.Array:
    """What the best estimator predicts: nothing that sees the past alone is expected to cost less.

    Equation 10: P(1 | N1, N0, context) = (N1 + 1/2) / (N1 + N0 + 1), the counts being those of the
    bits that followed this context so far.

    Args:
      inputs: [B, T, 1], bits.
      context_length: C.

    Returns:
      Probability that the next bit is 1, [B, T, 1]; 1/2 at the steps without a whole context.
    """
    bits = inputs[..., 0]
    num_steps = bits.shape[1]
    windows = jnp.stack(
        [bits[:, i : num_steps - context_length + 1 + i] for i in range(context_length)], axis=-1
    )
    context = jax.nn.one_hot(_number(windows > 0.5), 2**context_length)
    # What followed each context; the last has no follower yet.
    followers = bits[:, context_length:]
    seen = jnp.stack([1.0 - followers, followers], axis=-1)
    counts = jnp.cumsum(context[:, :-1, :, None] * seen[:, :, None, :], axis=1)
    before = jnp.pad(counts, ((0, 0), (1, 0), (0, 0), (0, 0)))
    zeros, ones = jnp.moveaxis(jnp.einsum("btcn,btc->btn", before, context), -1, 0)
    known = (ones + 0.5) / (ones + zeros + 1.0)
    blank = jnp.full((bits.shape[0], context_length - 1), 0.5)
    return jnp.concatenate([blank, known], 1)[..., None]


def _number(context: jax.Array) -> jax.Array:
    """Contexts, [..., C] with the oldest bit first, as numbers."""
    places = 2 ** jnp.arange(context.shape[-1] - 1, -1, -1)
    return jnp.sum(context.astype(jnp.int32) * places, axis=-1)
