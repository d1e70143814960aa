"""The repeat copy task of section 4.2: output a sequence a given number of times, then a marker.

One example, two vectors of two bits, twice (time runs down; `.` is 0):

    inputs           targets       mask
    1 . | .  .       . . | .        .
    1 1 | .  .       . . | .        .
    . . | 1  n       . . | .        .     <- delimiter and normalized number of repeats
    . . | .  .       1 . | .        x
    . . | .  .       1 1 | .        x
    . . | .  .       1 . | .        x
    . . | .  .       1 1 | .        x
    . . | .  .       . . | 1        x     <- end marker

The number is presented as n = (repeats - mean) / std, with the mean and the standard deviation of
the training range, also where an evaluation exceeds that range.
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
    SuccessThresholds,
    Task,
    check_range,
    sample_uniform_int,
)

__all__ = ["RepeatCopy"]


@dataclasses.dataclass(frozen=True)
class RepeatCopy(Task):
    """Copy sequences of random bits several times.

    Attributes:
      min_length: shortest sequence, at least 1.
      max_length: longest sequence, inclusive.
      min_repeats: fewest repeats, at least 1.
      max_repeats: most repeats, inclusive; determines the padded length, with `max_length`.
      num_bits: bits per vector.

    Raises:
      ValueError: a field is out of range.
    """

    size_axes: ClassVar = {"length": (10, 20), "repeats": (10, 20)}
    # A model that repeats without end makes 5 errors: the marker and half of a vector's bits.
    thresholds: ClassVar = SuccessThresholds(
        in_distribution=0.1, out_of_distribution=0.2, collapse=4.0
    )

    min_length: int = 1
    max_length: int = 10
    min_repeats: int = 1
    max_repeats: int = 10
    num_bits: int = 8

    def __post_init__(self) -> None:
        for name in ("length", "repeats"):
            check_range(self, f"min_{name}", f"max_{name}")
        if self.num_bits < 1:
            raise ValueError(f"task.num_bits: expected at least 1, got {self.num_bits}")

    @property
    def input_features(self) -> int:
        """The number of bits plus the delimiter and the number of repeats."""
        return self.num_bits + 2

    @property
    def output_features(self) -> int:
        """The number of bits plus the end marker."""
        return self.num_bits + 1

    @property
    def max_train_size(self) -> Size:
        """The maximum length and the maximum number of repeats."""
        return self.max_length, self.max_repeats

    def min_slots(self, length: int, repeats: int) -> int:
        """Returns one slot per vector, for any number of repeats."""
        del repeats
        return length

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples sequences of random length and random numbers of repeats, padded."""
        length_key, repeats_key, bits_key = jax.random.split(key, 3)
        shape = (batch_size,)
        lengths = sample_uniform_int(
            length_key, shape, self.min_length, self.max_length, size_range
        )
        repeats = sample_uniform_int(
            repeats_key, shape, self.min_repeats, self.max_repeats, size_range
        )
        return self._batch(bits_key, lengths, repeats, self.max_length, self.max_repeats)

    def sample_size(self, key: jax.Array, batch_size: int, length: int, repeats: int) -> Batch:
        """Samples sequences of one length, with one number of repeats."""
        self.check_size(length, repeats)
        shape = (batch_size,)
        return self._batch(key, jnp.full(shape, length), jnp.full(shape, repeats), length, repeats)

    def normalize_repeats(self, repeats: jax.Array) -> jax.Array:
        """Scales repeats to mean 0 and variance 1 over the training range."""
        mean = (self.min_repeats + self.max_repeats) / 2
        num_values = self.max_repeats - self.min_repeats + 1
        # Of the uniform distribution over these integers; 1 if there is only one of them.
        std = ((num_values**2 - 1) / 12) ** 0.5 or 1.0
        return (jnp.asarray(repeats, jnp.float32) - mean) / std

    def _batch(
        self,
        key: jax.Array,
        lengths: jax.Array,
        repeats: jax.Array,
        max_length: int,
        max_repeats: int,
    ) -> Batch:
        """Samples [B] lengths and repeats; max_length (1 + max_repeats) + 2 steps."""
        bits = jax.random.bernoulli(key, 0.5, (*lengths.shape, max_length, self.num_bits))
        steps = jnp.arange(max_length * (1 + max_repeats) + 2)[None]
        lengths, repeats = lengths[:, None], repeats[:, None]
        answer_step = steps - lengths - 1  # -1 at the delimiter, 0 at the first step of the answer
        answer_length = lengths * repeats

        def vectors(indices: jax.Array, mask: jax.Array) -> jax.Array:
            selected = jnp.take_along_axis(bits, jnp.clip(indices, 0, max_length - 1)[..., None], 1)
            return jnp.where(mask[..., None], selected, False).astype(jnp.float32)

        delimiter = answer_step == -1
        inputs = [
            vectors(jnp.broadcast_to(steps, answer_step.shape), answer_step < -1),
            delimiter[..., None].astype(jnp.float32),
            jnp.where(delimiter, self.normalize_repeats(repeats), 0.0)[..., None],
        ]
        targets = [
            vectors(answer_step % lengths, (answer_step >= 0) & (answer_step < answer_length)),
            (answer_step == answer_length)[..., None].astype(jnp.float32),
        ]
        mask = (answer_step >= 0) & (answer_step <= answer_length)
        return Batch(jnp.concatenate(inputs, -1), jnp.concatenate(targets, -1), mask)
