"""A task of one's own, and its config: reverse a string of letters; docs/tasks.md explains it.

`python train.py --config=examples/own_task.py` trains a model in two minutes, and
`python eval.py --workdir=runs/own_task --lengths=10,20,40,80` evaluates it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from ntm_jax.tasks.base import FULL_RANGE, Batch, CategoricalTask, sample_uniform_int
from ntm_jax.training.config import default


@dataclasses.dataclass(frozen=True)
class Reverse(CategoricalTask):
    """Reverse strings of random letters; the fields are config keys, such as task.num_letters."""

    size_axes = {"length": (20, 40)}  # noqa: RUF012  # what an evaluation covers

    max_length: int = 20
    num_letters: int = 4

    input_features = property(lambda self: self.num_letters + 1)  # the letters and a delimiter
    output_features = property(lambda self: self.num_letters)
    max_train_size = property(lambda self: (self.max_length,))

    def sample(self, key, batch_size, size_range=FULL_RANGE):
        """Samples a batch of training lengths, padded to the steps of the longest."""
        length_key, key = jax.random.split(key)
        lengths = sample_uniform_int(length_key, (batch_size,), 1, self.max_length, size_range)
        return self._batch(key, lengths, self.max_length)

    def sample_size(self, key, batch_size, length):
        """Samples a batch of one length."""
        return self._batch(key, jnp.full(batch_size, length), length)

    def _batch(self, key, lengths, max_length):
        letters = jax.random.randint(key, (len(lengths), max_length), 0, self.num_letters)
        steps = jnp.arange(2 * max_length + 1)  # the letters, the delimiter, and the answer

        def example(letters, length):
            delimiter = jnp.where(steps == length, self.num_letters, -1)
            inputs = jnp.where(steps < length, letters[steps % max_length], delimiter)
            mask = (steps > length) & (steps <= 2 * length)
            targets = jnp.where(mask, letters[(2 * length - steps) % max_length], -1)
            inputs = jax.nn.one_hot(inputs, self.input_features)  # zeros for -1
            return Batch(inputs, jax.nn.one_hot(targets, self.output_features), mask)

        return jax.vmap(example)(letters, lengths)


def get_config():
    """Returns the configuration."""
    config = default("examples.own_task:Reverse")
    config.model.controller = "lstm"
    config.model.shift_bias = 0.0  # lets the heads move either way from the start
    return config
