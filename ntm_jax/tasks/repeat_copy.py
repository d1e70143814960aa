"""The repeat copy task of section 4.2: see a sequence and a number, say it that many times, stop.

One example, two vectors of two bits, twice (time runs down; `.` is 0):

    inputs           targets       mask
    1 . | .  .       . . | .        .
    1 1 | .  .       . . | .        .
    . . | 1  n       . . | .        .     <- delimiter, and the normalised number beside it
    . . | .  .       1 . | .        x
    . . | .  .       1 1 | .        x
    . . | .  .       1 . | .        x
    . . | .  .       1 1 | .        x
    . . | .  .       . . | 1        x     <- end marker

The number is shown as n = (repeats - mean) / deviation, mean and standard deviation being those of
the training range; more repeats than that are shown by the same rule.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.training.success import Limits
from ntm_jax.tasks.base import WHOLE, Batch, Size, Span, Task, draw

__all__ = ["RepeatCopy"]


@dataclasses.dataclass(frozen=True)
class RepeatCopy(Task):
    """Copy sequences of random bits several times over.

    Attributes:
      min_length: shortest sequence, at least 1.
      max_length: longest sequence, inclusive.
      min_repeats: fewest repeats, at least 1.
      max_repeats: most repeats, inclusive; with `max_length` it sets the padded length.
      num_bits: bits of one vector.

    Raises:
      ValueError: a value out of its range.
    """

    axes: ClassVar = {"length": (10, 20), "repeats": (10, 20)}
    # A machine that says the sequence for ever pays for the end alone: half of a vector's bits and
    # the marker. It has not begun to count.
    limits: ClassVar = Limits(trained=0.1, beyond=0.2, collapsed=4.0)

    min_length: int = 1
    max_length: int = 10
    min_repeats: int = 1
    max_repeats: int = 10
    num_bits: int = 8

    def __post_init__(self) -> None:
        for name in ("length", "repeats"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if not 1 <= low <= high:
                raise ValueError(
                    f"task.min_{name}, task.max_{name}: expected 1 <= min_{name} <= max_{name}, "
                    f"got {low} and {high}"
                )
        if self.num_bits < 1:
            raise ValueError(f"task.num_bits: expected at least 1, got {self.num_bits}")

    @property
    def input_features(self) -> int:
        """The bits, the delimiter and the number of repeats."""
        return self.num_bits + 2

    @property
    def output_features(self) -> int:
        """The bits and the end marker."""
        return self.num_bits + 1

    @property
    def trained_size(self) -> Size:
        """The longest sequence and the most repeats."""
        return self.max_length, self.max_repeats

    def min_slots(self, length: int, repeats: int) -> int:
        """A slot for each vector, however often it is said."""
        del repeats
        return length

    def sample(self, key: jax.Array, batch_size: int, span: Span = WHOLE) -> Batch:
        """Sequences and repeats drawn at random; max_length (1 + max_repeats) + 2 steps."""
        length_key, repeats_key, bits_key = jax.random.split(key, 3)
        shape = (batch_size,)
        lengths = draw(length_key, shape, self.min_length, self.max_length, span)
        repeats = draw(repeats_key, shape, self.min_repeats, self.max_repeats, span)
        return self._batch(bits_key, lengths, repeats, self.max_length, self.max_repeats)

    def sample_at(self, key: jax.Array, batch_size: int, length: int, repeats: int) -> Batch:
        """Sequences all of one length and one number of repeats."""
        self.check_size(length, repeats)
        shape = (batch_size,)
        return self._batch(key, jnp.full(shape, length), jnp.full(shape, repeats), length, repeats)

    def shown_repeats(self, repeats: jax.Array) -> jax.Array:
        """The number as the input shows it: mean 0 and variance 1 over the training range."""
        mean = (self.min_repeats + self.max_repeats) / 2
        choices = self.max_repeats - self.min_repeats + 1
        # Of a uniform distribution over so many integers; one choice has no variance to divide by.
        deviation = ((choices**2 - 1) / 12) ** 0.5 or 1.0
        return (jnp.asarray(repeats, jnp.float32) - mean) / deviation

    def _batch(
        self,
        key: jax.Array,
        lengths: jax.Array,
        repeats: jax.Array,
        max_length: int,
        max_repeats: int,
    ) -> Batch:
        bits = jax.random.bernoulli(key, 0.5, (*lengths.shape, max_length, self.num_bits))
        steps = jnp.arange(max_length * (1 + max_repeats) + 2)
        lengths, repeats = lengths[:, None], repeats[:, None]
        since = steps - lengths - 1  # steps since the delimiter; the answer begins at 0
        end = lengths * repeats

        def vectors(indices: jax.Array, shown: jax.Array) -> jax.Array:
            taken = jnp.take_along_axis(bits, jnp.clip(indices, 0, max_length - 1)[..., None], 1)
            return jnp.where(shown[..., None], taken, False).astype(jnp.float32)

        at_delimiter = since == -1
        inputs = [
            vectors(jnp.broadcast_to(steps, since.shape), since < -1),
            at_delimiter[..., None].astype(jnp.float32),
            jnp.where(at_delimiter, self.shown_repeats(repeats), 0.0)[..., None],
        ]
        targets = [
            vectors(since % lengths, (since >= 0) & (since < end)),
            (since == end)[..., None].astype(jnp.float32),
        ]
        mask = (since >= 0) & (since <= end)
        return Batch(jnp.concatenate(inputs, -1), jnp.concatenate(targets, -1), mask)
