"""How well trained models do, by length: the one way of scoring, during training and after it."""

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

__all__ = ["Accuracy", "Result", "accuracy_by_step", "evaluate", "evaluate_members"]

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
    return evaluate_members(model, _alone(params), task, lengths, num_sequences, seed)[0]


def evaluate_members(
    model: nn.Module,
    params: Any,
    task: Copy,
    lengths: Sequence[int],
    num_sequences: int = 256,
    seed: int = 0,
) -> list[list[Result]]:
    """Scores all members of an ensemble on the same fresh sequences.

    Args:
      model: from inputs [B, T, I] to logits [B, T, O].
      params: its parameters; every leaf has a leading axis E, of the members.
      task: what to sample.
      lengths: one result each, in this order.
      num_sequences: of each length.
      seed: of the sequences; the same seed gives the same sequences.

    Returns:
      The results of each member.
    """
    by_length = [
        np.concatenate(
            [
                _errors(model, task, length, size, _spread(params, size), key)
                for size, key in _chunks(length, num_sequences, seed)
            ],
            axis=1,
        )
        for length in lengths
    ]
    return [
        [
            _result(length, errors, length * task.output_features)
            for length, errors in zip(lengths, of_member, strict=True)
        ]
        for of_member in zip(*by_length, strict=True)
    ]


def accuracy_by_step(
    model: nn.Module, params: Any, task: Copy, length: int, num_sequences: int = 256, seed: int = 0
) -> Accuracy:
    """Where in the answer, and in which bit, the errors of one length are."""
    params = _alone(params)
    total = sum(
        size * _wrong(model, task, length, size, _spread(params, size), key)
        for size, key in _chunks(length, num_sequences, seed)
    )
    right = 1.0 - np.asarray(total) / num_sequences
    return Accuracy(by_step=right.mean(axis=1), by_bit=right.mean(axis=0))


def _result(length: int, errors: np.ndarray, scored_bits: int) -> Result:
    return Result(
        length=length,
        sequences=len(errors),
        bit_errors_per_sequence=float(errors.mean()),
        bit_accuracy=float(1.0 - errors.mean() / scored_bits),
        perfect_sequences=float((errors == 0).mean()),
    )


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
    """Wrong bits of each member's copy of each sequence, [E, B]."""
    batch, logits = _run(model, task, length, batch_size, params, key)
    return jax.vmap(losses.bit_errors, (0, None, None))(logits, batch.targets, batch.mask)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _wrong(
    model: nn.Module, task: Copy, length: int, batch_size: int, params: Any, key: jax.Array
) -> jax.Array:
    """Share of sequences in which the one member gets a bit wrong, [L, O]."""
    batch, logits = _run(model, task, length, batch_size, params, key)
    wrong = (logits[0] > 0) != (batch.targets > 0.5)
    # With all sequences of one length, the scored steps are the last ones.
    return jnp.mean(wrong[:, -length:], axis=0)


def _run(
    model: nn.Module, task: Copy, length: int, batch_size: int, params: Any, key: jax.Array
) -> tuple[Batch, jax.Array]:
    """Sequences [B, ...], and logits of all members [E, B, T, O]."""
    devices = _devices(params, batch_size)
    batch = devices.shard_batch(task.sample_length(key, batch_size, length))

    def apply(params: Any, inputs: jax.Array) -> jax.Array:
        return model.apply({"params": params}, inputs)

    apply = devices.over_members(devices.over_batch(apply), (0, None))
    return batch, apply(params, batch.inputs)


def _devices(params: Any, batch_size: int) -> parallel.Devices:
    leaves = jax.tree.leaves(params)
    return parallel.Devices(len(leaves[0]) if leaves else 1, batch_size)


def _spread(params: Any, batch_size: int) -> Any:
    """The members on the devices that run them: training may have used fewer."""
    return _devices(params, batch_size).put_members(params)


def _alone(params: Any) -> Any:
    """An ensemble of one."""
    return jax.tree.map(lambda leaf: leaf[None], params)
