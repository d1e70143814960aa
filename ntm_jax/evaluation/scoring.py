"""Scores of trained models on fresh sequences, during training and after it.

B is the batch, T the time steps, I and O the input and output features, E the ensemble members,
L the scored steps.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.runtime.sharding import EnsembleMesh
from ntm_jax.tasks.base import Batch, Size, Task

__all__ = [
    "AccuracyBreakdown",
    "Result",
    "accuracy_by_step",
    "compile_evaluation",
    "evaluate",
    "evaluate_batch",
    "evaluate_members",
]

# Sequences times steps in one jitted call. It limits examples and logits to about 65 MiB at any
# length; with less, calls on sequences of thousands of steps are dominated by dispatch overhead.
_MAX_STEPS_PER_CALL = 500_000


@dataclasses.dataclass(frozen=True)
class Result:
    """Scores of one model at one size. Each metric is an attribute as well.

    Attributes:
      size: a number for each size axis of the task.
      sequences: number of sequences that were scored.
      metrics: mean over sequences of each metric of the task. By default these are
        bit_errors_per_sequence; bits_per_sequence, the cost: the cross-entropy of all scored bits
        of a sequence, in bits; excess_bits_per_sequence, the cost minus the Bayes-optimal cost;
        bit_accuracy, the fraction of scored bits without an error; and perfect_sequences, the
        fraction of sequences without one. A `CategoricalTask` has symbol_errors_per_sequence and
        symbol_accuracy.
    """

    size: Size
    sequences: int
    metrics: Mapping[str, float]

    def __getattr__(self, name: str) -> float:
        try:
            return self.__dict__["metrics"][name]
        except KeyError:
            raise AttributeError(f"{name}: expected a field of Result or a metric") from None


class AccuracyBreakdown(NamedTuple):
    """Accuracy of one model at one size.

    Attributes:
      by_step: [L], accuracy at each scored step.
      by_bit: [O], accuracy of each bit of the targets; [1] for a `CategoricalTask`.
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
        means = {
            name: np.concatenate([call[name] for call in calls], axis=1).mean(axis=1, dtype=float)
            for name in _metric_names(task)
        }
        members = zip(*(values.tolist() for values in means.values()), strict=True)
        results.append(
            [Result(size, num_sequences, dict(zip(means, m, strict=True))) for m in members]
        )
    return [list(member) for member in zip(*results, strict=True)]


def compile_evaluation(
    model: nn.Module,
    params: Any,
    task: Task,
    sizes: Sequence[int | Size],
    num_sequences: int = 256,
) -> None:
    """Compiles the programs that `evaluate_members` runs with the same arguments.

    XLA compiles without the global interpreter lock, so in a thread it overlaps with other work.
    """
    for size in map(_as_tuple, sizes):
        for batch_size, key in dict(_split(task, size, num_sequences, seed=0)).items():
            sharded = _shard_members(params, batch_size)
            _scores.lower(model, task, size, batch_size, sharded, key).compile()


def evaluate_batch(model: nn.Module, params: Any, task: Task, batch: Batch) -> Result:
    """Scores a model on given sequences, such as those of `tasks.sequences.load_sequences`.

    Args:
      model: maps inputs [B, T, I] to logits [B, T, O].
      params: the parameters of the model.
      task: the task whose metrics are computed.
      batch: the sequences, with I inputs and O targets.
    """
    num_sequences, num_steps, _ = batch.inputs.shape
    count = max(1, _MAX_STEPS_PER_CALL // num_steps)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in _metric_names(task)}
    for start in range(0, num_sequences, count):
        part = jax.tree.map(lambda array, i=start: jnp.asarray(array[i : i + count]), batch)
        for name, values in _batch_scores(model, task, params, part).items():
            scores[name].append(np.asarray(values))
    means = {name: float(np.concatenate(v).mean(dtype=float)) for name, v in scores.items()}
    return Result((), num_sequences, means)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_scores(model: nn.Module, task: Task, params: Any, batch: Batch) -> dict[str, jax.Array]:
    logits: Any = model.apply({"params": params}, batch.inputs)
    return task.metrics(logits, batch)


def accuracy_by_step(
    model: nn.Module,
    params: Any,
    task: Task,
    size: int | Size,
    num_sequences: int = 256,
    seed: int = 0,
) -> AccuracyBreakdown:
    """Computes the accuracy at one size by scored step and by bit of the targets.

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
        rates, scored = _errors_by_step(model, task, size, batch_size, sharded, key)
        num_errors += batch_size * np.asarray(rates)
    accuracy = 1.0 - (num_errors / num_sequences)[np.asarray(scored)]
    return AccuracyBreakdown(by_step=accuracy.mean(axis=1), by_bit=accuracy.mean(axis=0))


@functools.cache
def _metric_names(task: Task) -> list[str]:
    """Returns the names of the metrics in their order, which a jitted function does not keep."""
    names: list[str] = []

    def metrics() -> None:
        batch = task.sample(jax.random.key(0), 1)
        names.extend(task.metrics(jnp.zeros_like(batch.targets), batch))

    jax.eval_shape(metrics)
    return names


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
) -> dict[str, jax.Array]:
    """Returns the metrics of each member and example, [E, B] each."""
    batch, logits = _apply(model, task, size, batch_size, params, key)
    return jax.vmap(task.metrics, (0, None))(logits, batch)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _errors_by_step(
    model: nn.Module, task: Task, size: Size, batch_size: int, params: Any, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the error rate [T, U] of the only member, and which steps are scored [T]."""
    batch, logits = _apply(model, task, size, batch_size, params, key)
    errors = task.errors(logits[0], batch.targets)
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
