"""Scores of trained models on fresh sequences, during training and after it.

B is the batch, T the time steps, I and O the input and output features, E the ensemble members,
L the scored steps.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.runtime.sharding import EnsembleMesh
from ntm_jax.tasks import losses
from ntm_jax.tasks.base import Batch, Size, Task

__all__ = ["AccuracyBreakdown", "Result", "accuracy_by_step", "evaluate", "evaluate_members"]

# Sequences times steps in one jitted call. It limits examples and logits to about 65 MiB at any
# length; with less, calls on sequences of thousands of steps are dominated by dispatch overhead.
_MAX_STEPS_PER_CALL = 500_000


class Result(NamedTuple):
    """Scores of one model at one size; all but `size` and `sequences` are means over sequences.

    Attributes:
      size: a number for each size axis of the task.
      sequences: number of sequences that were scored.
      bit_errors_per_sequence: bit errors per sequence.
      bits_per_sequence: cost, the cross-entropy of all scored bits of a sequence, in bits.
      excess_bits_per_sequence: cost minus the Bayes-optimal cost, in bits.
      bit_accuracy: fraction of scored bits without an error.
      perfect_sequences: fraction of sequences without a bit error.
    """

    size: Size
    sequences: int
    bit_errors_per_sequence: float
    bits_per_sequence: float
    excess_bits_per_sequence: float
    bit_accuracy: float
    perfect_sequences: float


class AccuracyBreakdown(NamedTuple):
    """Bit accuracy of one model at one size.

    Attributes:
      by_step: [L], bit accuracy at each scored step.
      by_bit: [O], bit accuracy of each output feature.
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
      model: maps inputs [B, T, I] to logits [B, T, O].
      params: the parameters of the model.
      task: the task that the sequences are sampled from.
      sizes: the sizes to score; integers suffice for a task with one size axis.
      num_sequences: number of sequences per size.
      seed: seed of the sequences. Sequences of one size depend on the seed and the size alone.

    Returns:
      One result per size, in the order of `sizes`.

    Raises:
      ValueError: a size does not exist in the task; the message names the size axis.
    """
    return evaluate_members(model, _add_member_axis(params), task, sizes, num_sequences, seed)[0]


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
      model: maps inputs [B, T, I] to logits [B, T, O].
      params: the parameters of the members; every leaf has a leading axis E.
      task: the task that the sequences are sampled from.
      sizes: the sizes to score; integers suffice for a task with one size axis.
      num_sequences: number of sequences per size.
      seed: seed of the sequences.

    Returns:
      For each member one result per size.

    Raises:
      ValueError: a size does not exist in the task; the message names the size axis.
    """
    results = []
    for size in map(_as_tuple, sizes):
        calls = [
            _scores(model, task, size, batch_size, _shard_members(params, batch_size), key)
            for batch_size, key in _split(task, size, num_sequences, seed)
        ]
        errors, bits, optimal_bits, num_bits = (
            np.concatenate(arrays, axis=-1) for arrays in zip(*calls, strict=True)
        )
        results.append(
            [
                _mean_scores(size, *member, optimal_bits, num_bits)
                for member in zip(errors, bits, strict=True)
            ]
        )
    return [list(member) for member in zip(*results, strict=True)]


def accuracy_by_step(
    model: nn.Module,
    params: Any,
    task: Task,
    size: int | Size,
    num_sequences: int = 256,
    seed: int = 0,
) -> AccuracyBreakdown:
    """Computes the bit accuracy at one size by scored step and by output feature.

    Args:
      model: maps inputs [B, T, I] to logits [B, T, O].
      params: the parameters of the model.
      task: the task that the sequences are sampled from.
      size: the size to score.
      num_sequences: number of sequences.
      seed: seed of the sequences.

    Raises:
      ValueError: a size does not exist in the task; the message names the size axis.
    """
    params, size = _add_member_axis(params), _as_tuple(size)
    num_errors: Any = 0
    for batch_size, key in _split(task, size, num_sequences, seed):
        sharded = _shard_members(params, batch_size)
        rates, scored = _bit_errors_by_step(model, task, size, batch_size, sharded, key)
        num_errors += batch_size * np.asarray(rates)
    accuracy = 1.0 - (num_errors / num_sequences)[np.asarray(scored)]
    return AccuracyBreakdown(by_step=accuracy.mean(axis=1), by_bit=accuracy.mean(axis=0))


def _mean_scores(
    size: Size, errors: np.ndarray, bits: np.ndarray, optimal_bits: np.ndarray, num_bits: np.ndarray
) -> Result:
    """Averages the scores [B] of one member."""
    mean_errors, mean_bits = float(np.mean(errors)), float(np.mean(bits))
    return Result(
        size=size,
        sequences=len(errors),
        bit_errors_per_sequence=mean_errors,
        bits_per_sequence=mean_bits,
        excess_bits_per_sequence=mean_bits - float(np.mean(optimal_bits)),
        bit_accuracy=1.0 - mean_errors / float(np.mean(num_bits)),
        perfect_sequences=float(np.mean(errors == 0)),
    )


def _as_tuple(size: int | Size) -> Size:
    return (size,) if isinstance(size, int) else tuple(size)


def _split(task: Task, size: Size, num_sequences: int, seed: int) -> list[tuple[int, jax.Array]]:
    """Returns the batch size and the key of each jitted call."""
    task.check_size(*size)
    key = jax.random.key(seed)
    for number in size:  # so that results do not depend on which other sizes are evaluated
        key = jax.random.fold_in(key, number)
    num_steps = jax.eval_shape(lambda: task.sample_size(key, 1, *size)).inputs.shape[1]
    batch_size = max(1, min(num_sequences, _MAX_STEPS_PER_CALL // num_steps))
    batch_sizes = [batch_size] * (num_sequences // batch_size)
    if num_sequences % batch_size:
        batch_sizes.append(num_sequences % batch_size)
    return [(count, jax.random.fold_in(key, index)) for index, count in enumerate(batch_sizes)]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _scores(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> tuple[jax.Array, ...]:
    """Returns bit errors [E, B], cost [E, B], Bayes-optimal cost [B], number of scored bits [B]."""
    batch, logits = _apply(model, task, size, batch_size, params, key)

    def vmap_members(score: Callable[..., jax.Array]) -> jax.Array:
        return jax.vmap(score, (0, None, None))(logits, batch.targets, batch.mask)

    return (
        vmap_members(losses.bit_errors),
        vmap_members(losses.bits_per_sequence),
        task.optimal_bits(batch),
        jnp.sum(batch.mask, axis=1) * task.output_features,
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _bit_errors_by_step(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the error rate [T, O] of the only member, and which steps are scored [T]."""
    batch, logits = _apply(model, task, size, batch_size, params, key)
    errors = (logits[0] > 0) != (batch.targets > 0.5)
    return jnp.mean(errors, axis=0), batch.mask[0]  # the mask depends on the size alone


def _apply(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> tuple[Batch, jax.Array]:
    """Samples a batch, and returns it with the logits [E, B, T, O] of all members."""
    mesh = _mesh(params, batch_size)
    batch = mesh.shard_batch(task.sample_size(key, batch_size, *size))

    def apply(params: Any, inputs: jax.Array) -> Any:
        return model.apply({"params": params}, inputs)

    return batch, mesh.vmap_members(mesh.shard_map_batch(apply), (0, None))(params, batch.inputs)


def _mesh(params: Any, batch_size: int) -> EnsembleMesh:
    leaves = jax.tree.leaves(params)
    # Local devices alone: every process evaluates on its own, and any batch size can be split.
    return EnsembleMesh(len(leaves[0]) if leaves else 1, batch_size, jax.local_devices())


def _shard_members(params: Any, batch_size: int) -> Any:
    """Moves the members to the devices that evaluate them; training may use other devices."""
    return _mesh(params, batch_size).shard_members(params)


def _add_member_axis(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[None], params)
