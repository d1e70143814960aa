"""The associative recall task of section 4.3: output the item that follows a queried item.

One example of format "paper", two items of two vectors of two bits (time runs down; `.` is 0):

    inputs         targets   mask
    . . | 1 .      . .        .     <- item delimiter
    1 . | . .      . .        .
    1 1 | . .      . .        .
    . . | 1 .      . .        .
    . 1 | . .      . .        .
    1 1 | . .      . .        .
    . . | . 1      . .        .     <- query delimiter
    1 . | . .      . .        .
    1 1 | . .      . .        .
    . . | . 1      . .        .
    . . | . .      . 1        x
    . . | . .      1 1        x

Format "collier" (MarkPKCollier/NeuralTuringMachine) has neither item delimiters nor their channel.
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

__all__ = ["FORMATS", "AssociativeRecall"]

FORMATS = ("paper", "collier")


@dataclasses.dataclass(frozen=True)
class AssociativeRecall(Task):
    """Recall the item that follows a queried item in a list.

    Attributes:
      min_items: shortest list, at least 2.
      max_items: longest list, inclusive; determines the padded length.
      item_length: vectors per item.
      num_bits: bits per vector.
      format: "paper" or "collier".

    Raises:
      ValueError: a field is out of range.
    """

    size_axes: ClassVar = {"items": (2, 6, 12, 20)}
    thresholds: ClassVar = SuccessThresholds(in_distribution=0.05, out_of_distribution=0.97)
    min_size: ClassVar = (2,)

    min_items: int = 2
    max_items: int = 6
    item_length: int = 3
    num_bits: int = 6
    format: str = "paper"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"task.format: expected one of {FORMATS}, got {self.format!r}")
        check_range(self, "min_items", "max_items", minimum=2)
        for name in ("item_length", "num_bits"):
            if getattr(self, name) < 1:
                raise ValueError(f"task.{name}: expected at least 1, got {getattr(self, name)}")

    @property
    def input_features(self) -> int:
        """The number of bits plus one channel per kind of delimiter."""
        return self.num_bits + (2 if self.format == "paper" else 1)

    @property
    def output_features(self) -> int:
        """The number of bits."""
        return self.num_bits

    @property
    def max_train_size(self) -> Size:
        """The maximum number of items."""
        return (self.max_items,)

    def min_slots(self, items: int) -> int:
        """Returns one slot per vector."""
        return items * self.item_length

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples lists with random numbers of items, padded to the steps of `max_items`."""
        items_key, key = jax.random.split(key)
        items = sample_uniform_int(
            items_key, (batch_size,), self.min_items, self.max_items, size_range
        )
        return self._batch(key, items, self.max_items)

    def sample_size(self, key: jax.Array, batch_size: int, items: int) -> Batch:
        """Samples lists with one number of items."""
        self.check_size(items)
        return self._batch(key, jnp.full((batch_size,), items), items)

    def _batch(self, key: jax.Array, items: jax.Array, max_items: int) -> Batch:
        """Samples lists of [B] items, each with a query, padded to the steps of `max_items`."""
        bits_key, query_key = jax.random.split(key)
        length, start = self.item_length, 1 if self.format == "paper" else 0
        bits = jax.random.bernoulli(bits_key, 0.5, (*items.shape, max_items, length, self.num_bits))
        queried = jax.random.randint(query_key, items.shape, 0, items - 1)[:, None]
        steps = jnp.arange(max_items * (start + length) + 2 * length + 2)[None]
        query_step = steps - items[:, None] * (start + length)  # 0 at the first query delimiter

        def vectors(item: jax.Array, index: jax.Array, mask: jax.Array) -> jax.Array:
            example = jnp.arange(len(items))[:, None]
            item = jnp.clip(item, 0, max_items - 1)
            selected = bits[example, item, jnp.clip(index, 0, length - 1)]
            return jnp.where(mask[..., None], selected, False).astype(jnp.float32)

        in_list = query_step < 0
        in_query = (query_step > 0) & (query_step <= length)
        index = steps % (start + length) - start  # within the item; -1 at its delimiter
        delimiters = [(query_step == 0) | (query_step == length + 1)]
        if self.format == "paper":
            delimiters = [in_list & (index == -1), *delimiters]
        inputs = [
            vectors(
                jnp.where(in_list, steps // (start + length), queried),
                jnp.where(in_list, index, query_step - 1),
                in_query | (in_list & (index >= 0)),
            ),
            jnp.stack(delimiters, axis=-1).astype(jnp.float32),
        ]
        answer_step = query_step - length - 2
        mask = (answer_step >= 0) & (answer_step < length)
        targets = vectors(jnp.broadcast_to(queried + 1, mask.shape), answer_step, mask)
        return Batch(jnp.concatenate(inputs, -1), targets, mask)
