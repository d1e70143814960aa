"""The priority sort task of section 4.5: output the vectors of highest priority, in order.

One example, the two highest of three vectors of two bits (time runs down; `.` is 0):

    inputs           targets   mask
    1 . |  .3  .      . .        .
    . 1 | -.8  .      . .        .
    1 1 |  .9  .      . .        .
    . . |  .   1      . .        .     <- delimiter channel
    . . |  .   .      1 1        x
    . . |  .   .      1 .        x
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.tasks.base import (
    FULL_RANGE,
    Batch,
    Size,
    SizeRange,
    SuccessThresholds,
    Task,
    check_range,
    sample_uniform_int,
)

__all__ = ["PrioritySort"]


@dataclasses.dataclass(frozen=True)
class PrioritySort(Task):
    """Sort random vectors by priorities that are uniform in [-1, 1].

    Attributes:
      min_vectors: fewest input vectors, at least 1.
      max_vectors: most input vectors, inclusive; determines the padded length.
      num_sorted: how many of `max_vectors` to output, highest priority first. Of fewer vectors, the
        same fraction is output, rounded, and at least one.
      num_bits: bits per vector.

    Raises:
      ValueError: a field is out of range.
    """

    size_axes: ClassVar = {"count": (20,)}
    thresholds: ClassVar = SuccessThresholds(
        in_distribution=1.28, out_of_distribution=9.6, collapse=12.8
    )  # 1% of the bits at 20 vectors, 5% at 30, 10% at 20

    min_vectors: int = 2
    max_vectors: int = 20
    num_sorted: int = 16
    num_bits: int = 8

    def __post_init__(self) -> None:
        for name in ("min_vectors", "num_sorted"):
            check_range(self, name, "max_vectors")
        if self.num_bits < 1:
            raise ValueError(f"task.num_bits: expected at least 1, got {self.num_bits}")

    @property
    def input_features(self) -> int:
        """The number of bits plus the priority and the delimiter."""
        return self.num_bits + 2

    @property
    def output_features(self) -> int:
        """The number of bits."""
        return self.num_bits

    @property
    def max_train_size(self) -> Size:
        """The maximum number of input vectors."""
        return (self.max_vectors,)

    def min_slots(self, count: int) -> int:
        """Returns one slot per vector."""
        return count

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples random numbers of vectors, padded to the steps of `max_vectors`."""
        counts = sample_uniform_int(
            jax.random.fold_in(key, 1),
            (batch_size,),
            self.min_vectors,
            self.max_vectors,
            size_range,
        )
        return self._batch(key, counts, self.max_vectors)

    def sample_size(self, key: jax.Array, batch_size: int, count: int) -> Batch:
        """Samples examples with one number of vectors."""
        self.check_size(count)
        return self._batch(key, jnp.full((batch_size,), count), count)

    def _answer_length(self, count: Any) -> Any:
        """Returns the length of the answer to a number of vectors, or to an array of them."""
        return (count * (self.num_sorted / self.max_vectors)).round().clip(1.0)

    def _batch(self, key: jax.Array, counts: jax.Array, max_count: int) -> Batch:
        """Samples [B] counts of vectors, padded to the steps of `max_count`."""
        bits_key, priority_key = jax.random.split(key)
        shape = (*counts.shape, max_count)
        bits = jax.random.bernoulli(bits_key, 0.5, (*shape, self.num_bits)).astype(jnp.float32)
        priorities = jax.random.uniform(priority_key, shape, bits.dtype, -1.0, 1.0)
        counts = counts[:, None]
        answer_lengths = self._answer_length(counts.astype(jnp.float32))
        max_answer_length = int(self._answer_length(np.float64(max_count)))
        present = jnp.arange(max_count)[None] < counts
        order = jnp.argsort(jnp.where(present, priorities, -jnp.inf), axis=1, descending=True)
        ordered = jnp.take_along_axis(bits, order[..., None], axis=1)

        steps = jnp.arange(max_count + 1 + max_answer_length)[None]
        answer_step = steps - counts - 1  # -1 at the delimiter, 0 at the first step of the answer
        mask = (answer_step >= 0) & (answer_step.astype(jnp.float32) < answer_lengths)

        def at(values: jax.Array, indices: jax.Array, where: jax.Array) -> jax.Array:
            indices = jnp.broadcast_to(jnp.clip(indices, 0, max_count - 1), where.shape)
            selected = jnp.take_along_axis(values, indices[..., None], axis=1)
            return jnp.where(where[..., None], selected, 0.0)

        vectors = jnp.concatenate([bits, priorities[..., None]], axis=-1)
        delimiter = (answer_step == -1)[..., None].astype(bits.dtype)
        inputs = jnp.concatenate([at(vectors, steps, answer_step < -1), delimiter], axis=-1)
        return Batch(inputs, at(ordered, answer_step, mask), mask)
