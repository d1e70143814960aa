"""What every task is: a source of examples, of which an evaluation can choose the size."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ntm_jax.training.success import Limits

__all__ = [
    "UNIFORM",
    "WHOLE",
    "Batch",
    "Curriculum",
    "Size",
    "Span",
    "Task",
    "describe",
    "draw",
    "label",
    "size_of",
]

Size = tuple[int, ...]

# A part of the sizes that a task has, from one share of the way from the smallest to the largest to
# another: (0, 1) is all of them, (1, 1) the largest alone.
Span = tuple[float | jax.Array, float | jax.Array]
WHOLE: Span = (0.0, 1.0)


class Curriculum(NamedTuple):
    """Which sizes an update draws from: a span that grows with each update whose error is small.

    The defaults are all sizes from the start.

    Attributes:
      least: the share at which the span begins.
      first: the share at which it ends before the first update.
      growth: added to the latter with each update of small error, until it is 1.
      small_error: the cross-entropy below which an error is small, in bits per weighted bit.
    """

    least: float = 0.0
    first: float = 1.0
    growth: float = 0.0
    small_error: float = 0.0


UNIFORM = Curriculum()


class Batch(NamedTuple):
    """Examples of a task. B is the batch, T the padded number of steps.

    Attributes:
      inputs: [B, T, I].
      targets: [B, T, O], in [0, 1].
      mask: [B, T], boolean; true at the steps whose outputs are scored.
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


class Task:
    """A task, whose subclasses are frozen dataclasses: their fields are its settings.

    The size of an example is a number for each of the task's axes, such as its length. Sampling
    runs inside jit, and training sees all sizes padded to the same number of steps.

    Attributes:
      axes: the names of what makes a size, each with the numbers that are evaluated by default.
      limits: what counts as solved.
      judged_by: the field of `evaluation.Result` that the limits are for.
      one_size: whether training sees examples of one size alone.
      unscored_weight: weight in the loss of a step that the mask leaves out.
    """

    axes: ClassVar[Mapping[str, tuple[int, ...]]]
    limits: ClassVar[Limits] = Limits()
    judged_by: ClassVar[str] = "bit_errors_per_sequence"
    one_size: ClassVar[bool] = False
    unscored_weight: float = 0.0

    @property
    def input_features(self) -> int:
        """I."""
        raise NotImplementedError

    @property
    def output_features(self) -> int:
        """O."""
        raise NotImplementedError

    @property
    def trained_size(self) -> Size:
        """The largest number on each axis that training sees."""
        raise NotImplementedError

    @property
    def smallest_size(self) -> Size:
        """The smallest number on each axis that there is."""
        return (1,) * len(self.axes)

    def check_size(self, *size: int) -> None:
        """Refuses a size that there is not.

        Raises:
          ValueError: a number is too small, the message names its axis; or there is not one for
            each axis.
        """
        if len(size) != len(self.axes):
            raise ValueError(f"size: expected a number for each of {(*self.axes,)}, got {size}")
        for axis, number, least in zip(self.axes, size, self.smallest_size, strict=True):
            if number < least:
                raise ValueError(f"{axis}: expected at least {least}, got {number}")

    def min_slots(self, *size: int) -> int:
        """Slots that a machine needs to hold what it is shown in an example of this size."""
        raise NotImplementedError

    def sample(self, key: jax.Array, batch_size: int, span: Span = WHOLE) -> Batch:
        """Examples to train on, of random sizes.

        Args:
          key: a JAX random key.
          batch_size: B.
          span: the sizes to draw from; shares in [0, 1]. Without a meaning for a task of one size.

        Returns:
          A batch, padded to the steps of the trained size.
        """
        raise NotImplementedError

    def sample_at(self, key: jax.Array, batch_size: int, *size: int) -> Batch:
        """Examples all of one size, with no padding.

        Args:
          key: a JAX random key.
          batch_size: B.
          *size: a number for each axis.

        Returns:
          A batch.

        Raises:
          ValueError: a size that there is not.
        """
        raise NotImplementedError

    def optimal_bits(self, batch: Batch) -> jax.Array:
        """Cross-entropy that the best predictor pays for each example.

        Args:
          batch: of this task.

        Returns:
          Bits, [B]; 0 where what is shown decides the answer.
        """
        return jnp.zeros(len(batch.inputs))


def draw(
    key: jax.Array, shape: tuple[int, ...], least: int, most: int, span: Span = WHOLE
) -> jax.Array:
    """Whole numbers, all as likely, from a part of least..most; `most` is one of them.

    Args:
      key: a JAX random key.
      shape: of the result.
      least: the smallest number of the whole range.
      most: the largest.
      span: the part of the range; shares in [0, 1].
    """
    low, high = (least + jnp.round(share * (most - least)).astype(int) for share in span)
    return jax.random.randint(key, shape, low, high + 1)


def label(size: Size) -> str:
    """A size as the files of a run name it, such as "10" or "10x20"."""
    return "x".join(map(str, size))


def size_of(label: str) -> Size:
    """The size with this label."""
    return tuple(map(int, label.split("x")))


def describe(task: Task, size: Size) -> str:
    """A size in words, such as "length 10, repeats 20"."""
    return ", ".join(f"{axis} {number}" for axis, number in zip(task.axes, size, strict=True))
