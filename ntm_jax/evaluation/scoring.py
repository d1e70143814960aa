"""How well trained models do, by size: the one way of scoring, during training and after it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.runtime import sharding
from ntm_jax.tasks import losses
from ntm_jax.tasks.base import Batch, Size, Task

__all__ = ["Accuracy", "Result", "accuracy_by_step", "evaluate", "evaluate_members"]

# Sequences times steps in one dispatch: an evaluation needs no more memory than some 65 MiB for its
# examples and logits, however long they are. With fewer, a batch of sequences of thousands of steps
# is so small that starting its operations takes as long as they do.
_CHUNK = 500_000


class Result(NamedTuple):
    """How examples of one size fared; all but `size` and `sequences` are means over them.

    Attributes:
      size: of the examples, a number for each axis of the task.
      sequences: how many were tried.
      bit_errors_per_sequence: wrong bits.
      bits_per_sequence: cross-entropy of the scored bits, in bits.
      excess_bits_per_sequence: how much more that is than the best predictor's.
      bit_accuracy: share of all scored bits that were right.
      perfect_sequences: share of sequences without a wrong bit.
    """

    size: Size
    sequences: int
    bit_errors_per_sequence: float
    bits_per_sequence: float
    excess_bits_per_sequence: float
    bit_accuracy: float
    perfect_sequences: float


class Accuracy(NamedTuple):
    """Shares of right bits at one size; L is the number of scored steps.

    Attributes:
      by_step: [L], for each step of the answer.
      by_bit: [O], for each bit of the vectors.
    """

    by_step: np.ndarray
    by_bit: np.ndarray


def evaluate(
    model: nn.Module,
    params: Any,
    task: Task,
    sizes: Sequence[int | Size],
    num_sequences: int = 256,
    seed: int = 0,
) -> list[Result]:
    """Scores a model on fresh sequences of each size.

    Args:
      model: from inputs [B, T, I] to logits [B, T, O].
      params: its parameters.
      task: what to sample.
      sizes: one result each, in this order; for a task with one axis, numbers will do.
      num_sequences: of each size.
      seed: of the sequences; the same seed gives the same sequences.

    Returns:
      The results.

    Raises:
      ValueError: a size that the task has not; the message names its axis.
    """
    return evaluate_members(model, _alone(params), task, sizes, num_sequences, seed)[0]


def evaluate_members(
    model: nn.Module,
    params: Any,
    task: Task,
    sizes: Sequence[int | Size],
    num_sequences: int = 256,
    seed: int = 0,
) -> list[list[Result]]:
    """Scores all members of an ensemble on the same fresh sequences.

    Args:
      model: from inputs [B, T, I] to logits [B, T, O].
      params: its parameters; every leaf has a leading axis E, of the members.
      task: what to sample.
      sizes: one result each, in this order; for a task with one axis, numbers will do.
      num_sequences: of each size.
      seed: of the sequences; the same seed gives the same sequences.

    Returns:
      The results of each member.
    """
    by_size = []
    for size in map(_size, sizes):
        chunks = [
            _scores(model, task, size, count, _spread(params, count), key)
            for count, key in _chunks(task, size, num_sequences, seed)
        ]
        scores = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *chunks)
        by_size.append(
            [
                _result(size, _Scores(errors, bits, scores.optimal_bits, scores.scored_bits))
                for errors, bits in zip(scores.errors, scores.bits, strict=True)
            ]
        )
    return [list(of_member) for of_member in zip(*by_size, strict=True)]


def accuracy_by_step(
    model: nn.Module,
    params: Any,
    task: Task,
    size: int | Size,
    num_sequences: int = 256,
    seed: int = 0,
) -> Accuracy:
    """Where in the answer, and in which bit, the errors of one size are."""
    params, size = _alone(params), _size(size)
    chunks = [
        (count, *_wrong(model, task, size, count, _spread(params, count), key))
        for count, key in _chunks(task, size, num_sequences, seed)
    ]
    wrong = sum(count * np.asarray(wrong) for count, wrong, _ in chunks) / num_sequences
    right = 1.0 - wrong[np.asarray(chunks[0][-1])]
    return Accuracy(by_step=right.mean(axis=1), by_bit=right.mean(axis=0))


class _Scores(NamedTuple):
    """Of examples of one size, B of them, and E members.

    Attributes:
      errors: wrong bits, [E, B].
      bits: cross-entropy, [E, B].
      optimal_bits: the best predictor's, [B].
      scored_bits: [B].
    """

    errors: Any
    bits: Any
    optimal_bits: Any
    scored_bits: Any


def _result(size: Size, scores: _Scores) -> Result:
    """The means of one member."""
    errors, bits, optimal_bits, scored_bits = (float(np.mean(leaf)) for leaf in scores)
    return Result(
        size=size,
        sequences=len(scores.errors),
        bit_errors_per_sequence=errors,
        bits_per_sequence=bits,
        excess_bits_per_sequence=bits - optimal_bits,
        bit_accuracy=1.0 - errors / scored_bits,
        perfect_sequences=float(np.mean(scores.errors == 0)),
    )


def _size(size: int | Size) -> Size:
    return (size,) if isinstance(size, int) else tuple(size)


def _chunks(task: Task, size: Size, num_sequences: int, seed: int) -> list[tuple[int, jax.Array]]:
    """How many examples of one size there are in each batch, and its key."""
    task.check_size(*size)
    key = jax.random.key(seed)
    # Folded with the size: what else is evaluated in the same call changes nothing.
    for number in size:
        key = jax.random.fold_in(key, number)
    steps = jax.eval_shape(lambda: task.sample_at(key, 1, *size)).inputs.shape[1]
    count = max(1, min(num_sequences, _CHUNK // steps))
    counts = [count] * (num_sequences // count)
    if num_sequences % count:
        counts.append(num_sequences % count)
    return [(count, jax.random.fold_in(key, index)) for index, count in enumerate(counts)]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _scores(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> _Scores:
    batch, logits = _run(model, task, size, batch_size, params, key)

    def of_all(score: Callable[..., jax.Array]) -> jax.Array:
        return jax.vmap(score, (0, None, None))(logits, batch.targets, batch.mask)

    return _Scores(
        errors=of_all(losses.bit_errors),
        bits=of_all(losses.bits_per_sequence),
        optimal_bits=task.optimal_bits(batch),
        scored_bits=jnp.sum(batch.mask, axis=1) * task.output_features,
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _wrong(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Share of sequences in which the one member has a bit wrong, [T, O]; scored steps, [T]."""
    batch, logits = _run(model, task, size, batch_size, params, key)
    wrong = (logits[0] > 0) != (batch.targets > 0.5)
    # Of one size all have the same scored steps.
    return jnp.mean(wrong, axis=0), batch.mask[0]


def _run(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> tuple[Batch, jax.Array]:
    """Examples [B, ...], and logits of all members [E, B, T, O]."""
    devices = _devices(params, batch_size)
    batch = devices.shard_batch(task.sample_at(key, batch_size, *size))

    def apply(params: Any, inputs: jax.Array) -> Any:
        return model.apply({"params": params}, inputs)

    apply = devices.over_members(devices.over_batch(apply), (0, None))
    return batch, apply(params, batch.inputs)


def _devices(params: Any, batch_size: int) -> sharding.Devices:
    leaves = jax.tree.leaves(params)
    # Of this process alone: any number of sequences can be shared by them.
    return sharding.Devices(len(leaves[0]) if leaves else 1, batch_size, jax.local_devices())


def _spread(params: Any, batch_size: int) -> Any:
    """The members on the devices that run them: training may have used fewer."""
    return _devices(params, batch_size).put_members(params)


def _alone(params: Any) -> Any:
    """An ensemble of one."""
    return jax.tree.map(lambda leaf: leaf[None], params)
