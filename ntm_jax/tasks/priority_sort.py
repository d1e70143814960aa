"""The priority sort task of section 4.5: see vectors with priorities, say the highest, in order.

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

from ntm_jax.training.success import Limits
from ntm_jax.tasks.base import WHOLE, Batch, Size, Span, Task

__all__ = ["PrioritySort"]


@dataclasses.dataclass(frozen=True)
class PrioritySort(Task):
    """Sort random vectors by their priorities, drawn uniformly from [-1, 1].

    Attributes:
      num_vectors: shown, at least 1.
      num_sorted: to be said, from the highest priority down; at most `num_vectors`.
      num_bits: bits of one vector.

    Raises:
      ValueError: a value out of its range.
    """

    axes: ClassVar = {"count": (20,)}
    limits: ClassVar = Limits(trained=1.28, beyond=1.28, collapsed=12.8)  # 1 % of the bits, 10 %
    one_size: ClassVar = True

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
        """The bits, the priority and the delimiter."""
        return self.num_bits + 2

    @property
    def output_features(self) -> int:
        """The bits."""
        return self.num_bits

    @property
    def trained_size(self) -> Size:
        """How many vectors are shown."""
        return (self.num_vectors,)

    def min_slots(self, count: int) -> int:
        """A slot for each vector."""
        return count

    def sample(self, key: jax.Array, batch_size: int, span: Span = WHOLE) -> Batch:
        """Vectors and their priorities; num_vectors + 1 + num_sorted steps."""
        del span  # one size alone
        bits_key, priority_key = jax.random.split(key)
        shape = (batch_size, self.num_vectors)
        bits = jax.random.bernoulli(bits_key, 0.5, (*shape, self.num_bits)).astype(jnp.float32)
        priorities = jax.random.uniform(priority_key, shape, minval=-1.0, maxval=1.0)
        order = jnp.argsort(priorities, axis=1, descending=True)[:, : self.num_sorted]
        highest = jnp.take_along_axis(bits, order[..., None], axis=1)

        shown = jnp.concatenate([bits, priorities[..., None], jnp.zeros((*shape, 1))], axis=-1)
        delimiter = jnp.zeros((batch_size, 1, self.input_features)).at[..., -1].set(1.0)
        silence = jnp.zeros((batch_size, self.num_sorted, self.input_features))
        before = jnp.zeros((batch_size, self.num_vectors + 1, self.num_bits))
        mask = jnp.arange(self.num_vectors + 1 + self.num_sorted) > self.num_vectors
        return Batch(
            jnp.concatenate([shown, delimiter, silence], axis=1),
            jnp.concatenate([before, highest], axis=1),
            jnp.broadcast_to(mask, (batch_size, *mask.shape)),
        )

    def sample_at(self, key: jax.Array, batch_size: int, count: int) -> Batch:
        """Another number of vectors, with the same share of them to be said."""
        self.check_size(count)
        share = max(1, round(count * self.num_sorted / self.num_vectors))
        return dataclasses.replace(self, num_vectors=count, num_sorted=share).sample(
            key, batch_size
        )
