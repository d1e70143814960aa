"""The interface of a task: batches of examples, the loss, and the metrics."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ntm_jax.tasks import losses

__all__ = [
    "FULL_RANGE",
    "Batch",
    "CategoricalTask",
    "Size",
    "SizeRange",
    "SuccessThresholds",
    "Task",
    "check_range",
    "describe_size",
    "format_size",
    "parse_size",
    "sample_uniform_int",
]

# One integer per size axis.
Size = tuple[int, ...]

# Lower and upper end of a part of the training sizes, as fractions of the way from the smallest to
# the largest size: (0, 1) is the full range, (1, 1) the largest size only.
SizeRange = tuple[float | jax.Array, float | jax.Array]
FULL_RANGE: SizeRange = (0.0, 1.0)


class SuccessThresholds(NamedTuple):
    """Errors that separate solved, unsolved and collapsed, in units of `Task.metric`.

    Attributes:
      in_distribution: largest error at which a training size counts as solved.
      out_of_distribution: largest error at which a larger size counts as solved.
      collapse: an error above this, at any size, counts as a collapse.
    """

    in_distribution: float = 0.01
    out_of_distribution: float = 0.1
    collapse: float = 1.0


class Batch(NamedTuple):
    """A batch of B examples, padded to T steps.

    Attributes:
      inputs: [B, T, I].
      targets: [B, T, O], in [0, 1].
      mask: [B, T], boolean; true at the steps whose outputs are scored.
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


class Task:
    """A task: a distribution over examples of several sizes, with targets that are bits.

    Subclasses are frozen dataclasses whose fields are the settings of the task. They define
    `size_axes`, `input_features`, `output_features`, `max_train_size`, `sample` and `sample_size`;
    everything else has a default. All methods that take or return arrays must be traceable by
    `jax.jit`, with static sizes.

    Attributes:
      size_axes: the numbers that make up a size, such as "length"; for each, its default values in
        an evaluation.
      thresholds: success criteria.
      metric: the metric that the thresholds refer to.
      fixed_size: whether all training examples have the same size.
      unmasked_weight: loss weight of the steps outside the mask.
      unit: what `errors` counts, in names of metrics.
    """

    size_axes: ClassVar[Mapping[str, tuple[int, ...]]]
    thresholds: ClassVar[SuccessThresholds] = SuccessThresholds()
    metric: ClassVar[str] = "bit_errors_per_sequence"
    fixed_size: ClassVar[bool] = False
    unmasked_weight: float = 0.0
    unit: ClassVar[str] = "bit"

    @property
    def input_features(self) -> int:
        """Size of an input vector, I."""
        raise NotImplementedError

    @property
    def output_features(self) -> int:
        """Size of a target vector, O."""
        raise NotImplementedError

    @property
    def max_train_size(self) -> Size:
        """The largest training value of each size axis."""
        raise NotImplementedError

    @property
    def min_size(self) -> Size:
        """The smallest valid value of each size axis."""
        return (1,) * len(self.size_axes)

    def check_size(self, *size: int) -> None:
        """Checks that a size is valid.

        Args:
          *size: one value per size axis.

        Raises:
          ValueError: the number of values is wrong, or a value is too small.
        """
        if len(size) != len(self.size_axes):
            raise ValueError(
                f"size: expected a number for each of {(*self.size_axes,)}, got {size}"
            )
        for axis, value, minimum in zip(self.size_axes, size, self.min_size, strict=True):
            if value < minimum:
                raise ValueError(f"{axis}: expected at least {minimum}, got {value}")

    def is_in_distribution(self, size: Size) -> bool:
        """Returns whether no value of `size` exceeds `max_train_size`."""
        return all(n <= maximum for n, maximum in zip(size, self.max_train_size, strict=True))

    def is_solved(self, errors: Mapping[Size, float]) -> bool:
        """Returns whether every error is within its threshold.

        Args:
          errors: value of `metric` by size.
        """
        in_distribution, out_of_distribution, _ = self.thresholds
        return all(
            error <= (in_distribution if self.is_in_distribution(size) else out_of_distribution)
            for size, error in errors.items()
        )

    def min_slots(self, *size: int) -> int:
        """Returns the number of memory slots that examples of this size need, by default 1."""
        del size
        return 1

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples a training batch of random sizes.

        Args:
          key: PRNG key.
          batch_size: B.
          size_range: the part of the training sizes to sample from; ignored if `fixed_size`.

        Returns:
          A batch, padded to the steps of `max_train_size`.
        """
        raise NotImplementedError

    def sample_size(self, key: jax.Array, batch_size: int, *size: int) -> Batch:
        """Samples a batch of examples of one size, without padding.

        Args:
          key: PRNG key.
          batch_size: B.
          *size: one value per size axis.

        Returns:
          A batch.

        Raises:
          ValueError: the size is invalid.
        """
        raise NotImplementedError

    def optimal_bits(self, batch: Batch) -> jax.Array:
        """Computes the Bayes-optimal cost of each example.

        Args:
          batch: a batch of this task.

        Returns:
          Bits, [B]; 0 by default, for tasks whose inputs determine the targets.
        """
        return jnp.zeros(len(batch.inputs), jnp.float32)

    def cross_entropy(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """Computes the cross-entropy of each bit.

        Args:
          logits: [B, T, O], the outputs of a model, before the sigmoid.
          targets: [B, T, O].

        Returns:
          Nats, [B, T, O]; [B, T, 1] for a `CategoricalTask`.
        """
        return losses.bit_nats(logits, targets)

    def errors(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """Returns which bits are wrong, boolean, in the shape of `cross_entropy`."""
        return losses.wrong_bits(logits, targets)

    def probabilities(self, logits: jax.Array) -> jax.Array:
        """Returns what plots show of logits, [..., O], in [0, 1]; more than 1/2 predicts a 1."""
        return jax.nn.sigmoid(logits)

    def loss(self, logits: jax.Array, batch: Batch) -> jax.Array:
        """Computes the loss of training, by default the mean of `cross_entropy`.

        Args:
          logits: [B, T, O].
          batch: a batch of this task.

        Returns:
          Scalar.
        """
        weights = jnp.where(batch.mask, 1.0, self.unmasked_weight)
        return losses.weighted_mean(self.cross_entropy(logits, batch.targets), weights)

    def metrics(self, logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Computes the metrics of each example; an evaluation reports their means.

        Args:
          logits: [B, T, O].
          batch: a batch of this task.

        Returns:
          Arrays [B] by name. `metric` and "bits_per_sequence", the cost, must be among them.
        """
        mask = batch.mask[..., None]
        wrong = self.errors(logits, batch.targets) & mask
        num_errors = jnp.sum(wrong, axis=(1, 2)).astype(jnp.float32)
        num_units = jnp.sum(batch.mask, axis=1).astype(jnp.float32) * wrong.shape[-1]
        bits = losses.sum_bits(self.cross_entropy(logits, batch.targets), batch.mask)
        return {
            f"{self.unit}_errors_per_sequence": num_errors,
            "bits_per_sequence": bits,
            "excess_bits_per_sequence": bits - self.optimal_bits(batch),
            f"{self.unit}_accuracy": 1.0 - num_errors / num_units,
            "perfect_sequences": (num_errors == 0).astype(jnp.float32),
        }


class CategoricalTask(Task):
    """A task whose targets are one-hot vectors: at each scored step one of O symbols."""

    metric: ClassVar[str] = "symbol_errors_per_sequence"
    unit: ClassVar[str] = "symbol"

    def cross_entropy(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """Computes the cross-entropy of each symbol, in nats, [B, T, 1], from logits [B, T, O]."""
        return optax.softmax_cross_entropy(logits.astype(jnp.float32), targets)[..., None]

    def errors(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """Returns at which steps the most probable symbol is wrong, or a logit NaN; [B, T, 1]."""
        wrong = jnp.argmax(logits, axis=-1) != jnp.argmax(targets, axis=-1)
        return (wrong | jnp.isnan(logits).any(axis=-1))[..., None]

    def probabilities(self, logits: jax.Array) -> jax.Array:
        """Returns the probability of each symbol against the most probable of the others."""
        others = jnp.where(jnp.eye(logits.shape[-1], dtype=bool), -jnp.inf, logits[..., None, :])
        return jax.nn.sigmoid(logits - jnp.max(others, axis=-1))


def check_range(task: Task, low: str, high: str, minimum: int = 1) -> None:
    """Checks that minimum <= low <= high, for the names of two fields of a task.

    Raises:
      ValueError: they are not.
    """
    values = getattr(task, low), getattr(task, high)
    if not minimum <= values[0] <= values[1]:
        raise ValueError(
            f"task.{low}, task.{high}: expected {minimum} <= {low} <= {high}, "
            f"got {values[0]} and {values[1]}"
        )


def sample_uniform_int(
    key: jax.Array,
    shape: tuple[int, ...],
    minimum: int,
    maximum: int,
    size_range: SizeRange = FULL_RANGE,
) -> jax.Array:
    """Samples integers uniformly from a part of a range.

    Args:
      key: PRNG key.
      shape: shape of the result.
      minimum: smallest integer of the full range.
      maximum: largest integer of the full range, inclusive.
      size_range: the part of the range to sample from, both ends inclusive.

    Returns:
      Integers, [shape].
    """
    low, high = (
        minimum + jnp.round(fraction * (maximum - minimum)).astype(int) for fraction in size_range
    )
    return jax.random.randint(key, shape, low, high + 1)


def format_size(size: Size) -> str:
    """Returns the name of a size in metrics files, such as "10", "10x20", or "all" for ()."""
    return "x".join(map(str, size)) or "all"


def parse_size(text: str) -> Size:
    """Returns the size that `format_size` turns into this text."""
    return () if text == "all" else tuple(map(int, text.split("x")))


def describe_size(task: Task, size: Size) -> str:
    """Returns a size in words, such as "length 10, repeats 20"."""
    words = [f"{axis} {value}" for axis, value in zip(task.size_axes, size, strict=True)]
    return ", ".join(words) or "all sequences"
