"""The associative recall task of section 4.3: see a list of items, then one again: say the next.

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

Format "collier" (MarkPKCollier/NeuralTuringMachine) has no item delimiters and their channel not.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntm_jax.training.success import Limits
from ntm_jax.tasks.base import WHOLE, Batch, Size, Span, Task, draw

__all__ = ["FORMATS", "AssociativeRecall"]

FORMATS = ("paper", "collier")


@dataclasses.dataclass(frozen=True)
class AssociativeRecall(Task):
    """Recall the item that came after the queried one.

    Attributes:
      min_items: shortest list, at least 2.
      max_items: longest list, inclusive; it sets the padded length.
      item_length: vectors of one item.
      num_bits: bits of one vector.
      format: "paper" or "collier".

    Raises:
      ValueError: a value out of its range.
    """

    axes: ClassVar = {"items": (2, 6, 12, 20)}
    limits: ClassVar = Limits(trained=0.05, beyond=0.97)
    smallest_size: ClassVar = (2,)

    min_items: int = 2
    max_items: int = 6
    item_length: int = 3
    num_bits: int = 6
    format: str = "paper"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"task.format: expected one of {FORMATS}, got {self.format!r}")
        if not 2 <= self.min_items <= self.max_items:
            raise ValueError(
                "task.min_items, task.max_items: expected 2 <= min_items <= max_items, "
                f"got {self.min_items} and {self.max_items}"
            )
        for name in ("item_length", "num_bits"):
            if getattr(self, name) < 1:
                raise ValueError(f"task.{name}: expected at least 1, got {getattr(self, name)}")

    @property
    def input_features(self) -> int:
        """The bits, and one channel for each kind of delimiter."""
        return self.num_bits + (2 if self.format == "paper" else 1)

    @property
    def output_features(self) -> int:
        """The bits."""
        return self.num_bits

    @property
    def trained_size(self) -> Size:
        """The longest list."""
        return (self.max_items,)

    def min_slots(self, items: int) -> int:
        """A slot for each vector."""
        return items * self.item_length

    def sample(self, key: jax.Array, batch_size: int, span: Span = WHOLE) -> Batch:
        """Lists of a random number of items, with room for max_items."""
        items_key, key = jax.random.split(key)
        items = draw(items_key, (batch_size,), self.min_items, self.max_items, span)
        return self._batch(key, items, self.max_items)

    def sample_at(self, key: jax.Array, batch_size: int, items: int) -> Batch:
        """Lists all of one number of items, at least 2."""
        self.check_size(items)
        return self._batch(key, jnp.full((batch_size,), items), items)

    def _batch(self, key: jax.Array, items: jax.Array, max_items: int) -> Batch:
        bits_key, query_key = jax.random.split(key)
        size, first = self.item_length, 1 if self.format == "paper" else 0
        bits = jax.random.bernoulli(bits_key, 0.5, (*items.shape, max_items, size, self.num_bits))
        queried = jax.random.randint(query_key, items.shape, 0, items - 1)[:, None]
        steps = jnp.arange(max_items * (first + size) + 2 * size + 2)
        since = steps - items[:, None] * (first + size)  # since the first query delimiter

        def vectors(item: jax.Array, vector: jax.Array, shown: jax.Array) -> jax.Array:
            example = jnp.arange(len(items))[:, None]
            item = jnp.clip(item, 0, max_items - 1)
            taken = bits[example, item, jnp.clip(vector, 0, size - 1)]
            return jnp.where(shown[..., None], taken, False).astype(jnp.float32)

        in_list = since < 0
        place = steps % (first + size) - first  # within the item; -1 is its delimiter
        in_query = (since > 0) & (since <= size)
        shown = jnp.where(in_list, steps // (first + size), queried)
        vector = jnp.where(in_list, place, since - 1)
        flags = [(since == 0) | (since == size + 1)]
        if self.format == "paper":
            flags = [in_list & (place == -1), *flags]
        inputs = [
            vectors(shown, vector, in_query | (in_list & (place >= 0))),
            jnp.stack(flags, axis=-1).astype(jnp.float32),
        ]
        answered = since - size - 2
        mask = (answered >= 0) & (answered < size)
        targets = vectors(jnp.broadcast_to(queried + 1, since.shape), answered, mask)
        return Batch(jnp.concatenate(inputs, -1), targets, mask)
