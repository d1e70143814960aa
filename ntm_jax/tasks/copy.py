"""The copy task of section 4.1: see a sequence, then say it again.

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
each on a channel of its own, fills all that is empty with 0.5, targets included, and gives steps
off the answer 0.01 of the weight.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.tasks.base import WHOLE, Batch, Size, Span, Task, draw

__all__ = ["FORMATS", "Copy"]

FORMATS = ("default", "ntm_keras")


@dataclasses.dataclass(frozen=True)
class Copy(Task):
    """Copy sequences of random bits.

    Attributes:
      min_length: shortest sequence, at least 1.
      max_length: longest sequence, inclusive; it sets the padded length.
      num_bits: bits of one vector.
      format: "default" or "ntm_keras".
      blank_rate: share of the vectors of training that are made zeros, beside those that are by
        chance; less than 1. Evaluations have none of it. In format "default" the silence of the
        answer is zeros too: a machine that was never shown two such vectors before the delimiter,
        as in one of 65,536 sequences, takes them for it.

    Raises:
      ValueError: a value out of its range.
    """

    axes: ClassVar = {"length": (10, 20, 40, 80, 120)}

    min_length: int = 1
    max_length: int = 20
    num_bits: int = 8
    format: str = "default"
    blank_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"task.format: expected one of {FORMATS}, got {self.format!r}")
        if not 1 <= self.min_length <= self.max_length:
            raise ValueError(
                "task.min_length, task.max_length: expected 1 <= min_length <= max_length, "
                f"got {self.min_length} and {self.max_length}"
            )
        if self.num_bits < 1:
            raise ValueError(f"task.num_bits: expected at least 1, got {self.num_bits}")
        if not 0 <= self.blank_rate < 1:
            raise ValueError(
                f"task.blank_rate: expected at least 0 and less than 1, got {self.blank_rate}"
            )

    @property
    def input_features(self) -> int:
        """The bits, and one channel for each delimiter."""
        return self.num_bits + (2 if self.format == "ntm_keras" else 1)

    @property
    def output_features(self) -> int:
        """The bits."""
        return self.num_bits

    @property
    def unscored_weight(self) -> float:
        """Weight in the loss of a step that the mask leaves out."""
        return 0.01 if self.format == "ntm_keras" else 0.0

    @property
    def trained_size(self) -> Size:
        """The longest sequence."""
        return (self.max_length,)

    def min_slots(self, length: int) -> int:
        """A slot for each vector."""
        return length

    def sample(self, key: jax.Array, batch_size: int, span: Span = WHOLE) -> Batch:
        """Sequences of random length; 2 max_length + 1 steps, one more in format "ntm_keras"."""
        length_key, bits_key = jax.random.split(key)
        lengths = draw(length_key, (batch_size,), self.min_length, self.max_length, span)
        return self._batch(bits_key, lengths, self.max_length, self.blank_rate)

    def sample_at(self, key: jax.Array, batch_size: int, length: int) -> Batch:
        """Sequences all of one length, at least 1."""
        self.check_size(length)
        return self._batch(key, jnp.full((batch_size,), length), length)

    def _batch(
        self, key: jax.Array, lengths: jax.Array, max_length: int, blank_rate: float = 0.0
    ) -> Batch:
        keras = self.format == "ntm_keras"
        start = 1 if keras else 0  # the begin flag comes first
        empty = 0.5 if keras else 0.0
        bits = jax.random.bernoulli(key, 0.5, (*lengths.shape, max_length, self.num_bits))
        if blank_rate:
            blank = jax.random.bernoulli(jax.random.fold_in(key, 1), blank_rate, bits.shape[:-1])
            bits = bits & ~blank[..., None]
        bits = bits.astype(jnp.float32)
        steps = jnp.broadcast_to(
            jnp.arange(2 * max_length + 1 + start), (*lengths.shape, 2 * max_length + 1 + start)
        )
        end = lengths[:, None] + start  # step of the delimiter

        def vectors(indices: jax.Array) -> jax.Array:
            indices = jnp.clip(indices, 0, max_length - 1)
            return jnp.take_along_axis(bits, indices[..., None], axis=1)

        shown = (steps >= start) & (steps < end)
        flags = [steps == 0, steps == end] if keras else [steps == end]
        inputs = jnp.concatenate(
            [
                jnp.where(shown[..., None], vectors(steps - start), 0.0),
                jnp.stack(flags, axis=-1).astype(jnp.float32),
            ],
            axis=-1,
        )
        inputs = jnp.where((steps <= end)[..., None], inputs, empty)
        asked = (steps > end) & (steps <= end + lengths[:, None])
        targets = jnp.where(asked[..., None], vectors(steps - end - 1), empty)
        return Batch(inputs, targets, asked)
