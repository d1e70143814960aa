"""How well a trained model does, by length.

`evaluate` is the one way of scoring, during training and after it, and `is_solved` the one
definition of success.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax import losses, parallel
from ntm_jax.tasks.base import Batch
from ntm_jax.tasks.copy import Copy

__all__ = ["Accuracy", "Result", "accuracy_by_step", "evaluate", "is_solved"]

# Bit errors per sequence that count as solved: within the trained lengths, and beyond them.
_SOLVED_TRAINED = 0.01
_SOLVED_BEYOND = 0.1

# Sequences times steps in one dispatch, so that a long evaluation does not need all memory at once.
_CHUNK = 50_000


class Result(NamedTuple):
    """How sequences of one length fared.

    Attributes:
      length: vectors in a sequence.
      sequences: how many were tried.
      bit_errors_per_sequence: wrong bits, averaged over the sequences.
      bit_accuracy: share of all scored bits that were right.
      perfect_sequences: share of sequences without a wrong bit.
    """

    length: int
    sequences: int
    bit_errors_per_sequence: float
    bit_accuracy: float
    perfect_sequences: float


class Accuracy(NamedTuple):
    """Shares of right bits at one length.

    Attributes:
      by_step: [L], for each step of the answer.
      by_bit: [O], for each bit of the vectors.
    """

    by_step: np.ndarray
    by_bit: np.ndarray


def evaluate(
    model: nn.Module,
    params: Any,
    task: Copy,
    lengths: Sequence[int],
    num_sequences: int = 256,
    seed: int = 0,
) -> list[Result]:
    """Scores a model on fresh sequences of each length.

    Args:
      model: from inputs [B, T, I] to logits [B, T, O].
      params: its parameters.
      task: what to sample.
      lengths: one result each, in this order.
      num_sequences: of each length.
      seed: of the sequences; the same seed gives the same sequences.

    Returns:
      The results.
    """
    results = []
    for length in lengths:
        errors = np.concatenate(
            [
                _errors(model, task, length, size, parallel.replicate(params, size), key)
                for size, key in _chunks(length, num_sequences, seed)
            ]
        )
        scored_bits = length * task.output_features
        results.append(
            Result(
                length=length,
                sequences=num_sequences,
                bit_errors_per_sequence=float(errors.mean()),
                bit_accuracy=float(1.0 - errors.mean() / scored_bits),
                perfect_sequences=float((errors == 0).mean()),
            )
        )
    return results


def is_solved(results: Sequence[Result], trained_length: int) -> bool:
    """Whether every length was copied: the definition of solved that all programs use.

    Args:
      results: one evaluation.
      trained_length: the longest sequence seen in training.

    Returns:
      True if no length up to `trained_length` has more than 0.01 bit errors per sequence, and no
      longer one more than 0.1.
    """
    return all(
        result.bit_errors_per_sequence
        <= (_SOLVED_TRAINED if result.length <= trained_length else _SOLVED_BEYOND)
        for result in results
    )


def accuracy_by_step(
    model: nn.Module, params: Any, task: Copy, length: int, num_sequences: int = 256, seed: int = 0
) -> Accuracy:
    """Where in the answer, and in which bit, the errors of one length are."""
    total = sum(
        size * _wrong(model, task, length, size, parallel.replicate(params, size), key)
        for size, key in _chunks(length, num_sequences, seed)
    )
    right = 1.0 - np.asarray(total) / num_sequences
    return Accuracy(by_step=right.mean(axis=1), by_bit=right.mean(axis=0))


def _chunks(length: int, num_sequences: int, seed: int) -> list[tuple[int, jax.Array]]:
    """Sizes of the batches of one length, each with its key."""
    # Folded with the length: what else is evaluated in the same call changes nothing.
    key = jax.random.fold_in(jax.random.key(seed), length)
    size = max(1, min(num_sequences, _CHUNK // length))
    sizes = [size] * (num_sequences // size)
    if num_sequences % size:
        sizes.append(num_sequences % size)
    return [(size, jax.random.fold_in(key, index)) for index, size in enumerate(sizes)]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _errors(
    model: nn.Module, task: Copy, length: int, batch_size: int, params: Any, key: jax.Array
) -> jax.Array:
    """Wrong bits of each sequence, [B]."""
    batch, logits = _run(model, task, length, batch_size, params, key)
    return losses.bit_errors(logits, batch.targets, batch.mask)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _wrong(
    model: nn.Module, task: Copy, length: int, batch_size: int, params: Any, key: jax.Array
) -> jax.Array:
    """Share of sequences in which a bit is wrong, [L, O]."""
    batch, logits = _run(model, task, length, batch_size, params, key)
    wrong = (logits > 0) != (batch.targets > 0.5)
    # With all sequences of one length, the scored steps are the last ones.
    return jnp.mean(wrong[:, -length:], axis=0)


def _run(
    model: nn.Module, task: Copy, length: int, batch_size: int, params: Any, key: jax.Array
) -> tuple[Batch, jax.Array]:
    batch = parallel.shard_batch(task.sample_length(key, batch_size, length))
    return batch, model.apply({"params": params}, batch.inputs)
