"""The copy task of section 4.1: read a sequence, then output it.

One example of the default format, three vectors of two bits (time runs down; `.` is 0):

    inputs     targets   mask
    1 . | .    . .        .
    . 1 | .    . .        .
    1 1 | .    . .        .
    . . | 1    . .        .     <- delimiter channel
    . . | .    1 .        x
    . . | .    . 1        x
    . . | .    1 1        x

Format "ntm_keras" (flomlo/ntm_keras) has a begin flag before the sequence and an end flag after it,
each on its own channel. All other inputs and targets are 0.5, and the steps outside the mask have a
loss weight of 0.01.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.tasks.base import (
    FULL_RANGE,
    Batch,
    Size,
    SizeRange,
    Task,
    check_range,
    sample_uniform_int,
)

__all__ = ["FORMATS", "Copy"]

FORMATS = ("default", "ntm_keras")


@dataclasses.dataclass(frozen=True)
class Copy(Task):
    """Copy sequences of random bits.

    Attributes:
      min_length: shortest sequence, at least 1.
      max_length: longest sequence, inclusive; determines the padded length.
      num_bits: bits per vector.
      format: "default" or "ntm_keras".
      zero_vector_prob: probability that a training vector is replaced by zeros, in [0, 1).

    Raises:
      ValueError: a field is out of range.
    """

    size_axes: ClassVar = {"length": (10, 20, 40, 80, 120)}

    min_length: int = 1
    max_length: int = 20
    num_bits: int = 8
    format: str = "default"
    zero_vector_prob: float = 0.0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"task.format: expected one of {FORMATS}, got {self.format!r}")
        check_range(self, "min_length", "max_length")
        if self.num_bits < 1:
            raise ValueError(f"task.num_bits: expected at least 1, got {self.num_bits}")
        if not 0 <= self.zero_vector_prob < 1:
            raise ValueError(
                "task.zero_vector_prob: expected at least 0 and less than 1, "
                f"got {self.zero_vector_prob}"
            )

    @property
    def input_features(self) -> int:
        """The number of bits plus one channel per flag."""
        return self.num_bits + (2 if self.format == "ntm_keras" else 1)

    @property
    def output_features(self) -> int:
        """The number of bits."""
        return self.num_bits

    @property
    def unmasked_weight(self) -> float:
        """The loss weight of the steps outside the mask."""
        return 0.01 if self.format == "ntm_keras" else 0.0

    @property
    def max_train_size(self) -> Size:
        """The maximum length."""
        return (self.max_length,)

    def min_slots(self, length: int) -> int:
        """Returns one slot per vector."""
        return length

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples sequences of random length, padded to the steps of `max_length`."""
        length_key, bits_key = jax.random.split(key)
        lengths = sample_uniform_int(
            length_key, (batch_size,), self.min_length, self.max_length, size_range
        )
        return self._batch(bits_key, lengths, self.max_length, self.zero_vector_prob)

    def sample_size(self, key: jax.Array, batch_size: int, length: int) -> Batch:
        """Samples sequences of one length, without added zero vectors."""
        self.check_size(length)
        return self._batch(key, jnp.full((batch_size,), length), length)

    def _batch(
        self, key: jax.Array, lengths: jax.Array, max_length: int, zero_vector_prob: float = 0.0
    ) -> Batch:
        """Samples [B] lengths; 2 max_length + 1 steps, and one more in format "ntm_keras"."""
        keras = self.format == "ntm_keras"
        start = 1 if keras else 0  # the begin flag comes first
        empty = 0.5 if keras else 0.0
        bits = jax.random.bernoulli(key, 0.5, (*lengths.shape, max_length, self.num_bits))
        if zero_vector_prob:
            zero_vectors = jax.random.bernoulli(
                jax.random.fold_in(key, 1), zero_vector_prob, bits.shape[:-1]
            )
            bits = bits & ~zero_vectors[..., None]
        bits = bits.astype(jnp.float32)
        num_steps = 2 * max_length + 1 + start
        steps = jnp.broadcast_to(jnp.arange(num_steps), (*lengths.shape, num_steps))
        end = lengths[:, None] + start  # step of the delimiter

        def vectors(indices: jax.Array) -> jax.Array:
            indices = jnp.clip(indices, 0, max_length - 1)
            return jnp.take_along_axis(bits, indices[..., None], axis=1)

        flags = [steps == 0, steps == end] if keras else [steps == end]
        in_sequence = (steps >= start) & (steps < end)
        inputs = jnp.concatenate(
            [
                jnp.where(in_sequence[..., None], vectors(steps - start), 0.0),
                jnp.stack(flags, axis=-1).astype(jnp.float32),
            ],
            axis=-1,
        )
        inputs = jnp.where((steps <= end)[..., None], inputs, empty)
        mask = (steps > end) & (steps <= end + lengths[:, None])
        targets = jnp.where(mask[..., None], vectors(steps - end - 1), empty)
        return Batch(inputs, targets, mask)
