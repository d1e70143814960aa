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
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.tasks.base import FULL_RANGE, Batch, Size, SizeRange, SuccessThresholds, Task

__all__ = ["PrioritySort"]


@dataclasses.dataclass(frozen=True)
class PrioritySort(Task):
    """Sort random vectors by priorities that are uniform in [-1, 1].

    Attributes:
      num_vectors: number of input vectors, at least 1.
      num_sorted: number of vectors to output, highest priority first; at most `num_vectors`.
      num_bits: bits per vector.

    Raises:
      ValueError: a field is out of range.
    """

    size_axes: ClassVar = {"count": (20,)}
    thresholds: ClassVar = SuccessThresholds(
        in_distribution=1.28, out_of_distribution=1.28, collapse=12.8
    )  # 1% and 10% of the bits
    fixed_size: ClassVar = True

    num_vectors: int = 20
    num_sorted: int = 16
    num_bits: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.num_sorted <= self.num_vectors:
            raise ValueError(
                "task.num_sorted, task.num_vectors: expected 1 <= num_sorted <= num_vectors, "
                f"got {self.num_sorted} and {self.num_vectors}"
            )
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
        """The number of input vectors."""
        return (self.num_vectors,)

    def min_slots(self, count: int) -> int:
        """Returns one slot per vector."""
        return count

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples vectors and priorities; num_vectors + 1 + num_sorted steps."""
        del size_range
        bits_key, priority_key = jax.random.split(key)
        shape = (batch_size, self.num_vectors)
        bits = jax.random.bernoulli(bits_key, 0.5, (*shape, self.num_bits)).astype(jnp.float32)
        priorities = jax.random.uniform(priority_key, shape, bits.dtype, -1.0, 1.0)
        order = jnp.argsort(priorities, axis=1, descending=True)[:, : self.num_sorted]
        answer = jnp.take_along_axis(bits, order[..., None], axis=1)

        vectors = jnp.concatenate(
            [bits, priorities[..., None], jnp.zeros((*shape, 1), bits.dtype)], axis=-1
        )
        delimiter = jnp.zeros((batch_size, 1, self.input_features), bits.dtype).at[..., -1].set(1.0)
        padding = jnp.zeros((batch_size, self.num_sorted, self.input_features), bits.dtype)
        before_answer = jnp.zeros((batch_size, self.num_vectors + 1, self.num_bits), bits.dtype)
        mask = jnp.arange(self.num_vectors + 1 + self.num_sorted) > self.num_vectors
        return Batch(
            jnp.concatenate([vectors, delimiter, padding], axis=1),
            jnp.concatenate([before_answer, answer], axis=1),
            jnp.broadcast_to(mask, (batch_size, *mask.shape)),
        )

    def sample_size(self, key: jax.Array, batch_size: int, count: int) -> Batch:
        """Samples another number of vectors; the fraction to output stays the same."""
        self.check_size(count)
        num_sorted = max(1, round(count * self.num_sorted / self.num_vectors))
        task = dataclasses.replace(self, num_vectors=count, num_sorted=num_sorted)
        return task.sample(key, batch_size)
