"""Whether the sizes in a config can fit into the memory of this machine at all.

What is added up here from shapes is less than a run needs. It is there for sizes that no machine
has room for, so that they end in a line that names the setting, before anything is made of them.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ntm_jax.training.config import ConfigError, default, eval_name, flat
from ntm_jax.tasks.base import Size, Task, describe

__all__ = ["check_evaluation", "check_training"]


def check_training(config: ConfigDict, task: Task, model: nn.Module) -> None:
    """Compares what updates need at the least with what there is.

    Args:
      config: a valid one.
      task: that it names.
      model: that it names, with the largest memory.

    Raises:
      ConfigError: there is not enough; the message names the setting that is farthest from its
        default, among those that matter.
    """
    inputs = jax.ShapeDtypeStruct((1, 1, task.input_features), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), inputs)
    batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), config.batch_size))
    num_steps, members = batch.inputs.shape[1], config.num_seeds
    segment = min(config.model.get("segment", 0), num_steps)
    kept = math.ceil(num_steps / segment) if segment else num_steps
    lines = min(config.log_every, config.num_steps)
    for what, needed, settings in (
        # With their average and their gradient.
        ("parameters", 3 * members * _bytes(params), ("model", "task", "num_seeds")),
        ("sequences", members * _bytes(batch), ("task", "batch_size", "num_seeds")),
        (
            "states, kept for the gradient,",
            members * kept * _carry_bytes(model, task, config.batch_size),
            ("model", "task", "batch_size", "num_seeds"),
        ),
        ("losses", 16 * members * lines, ("log_every", "num_seeds")),
    ):
        _check(config, what, needed, settings)


def check_evaluation(
    config: ConfigDict, task: Task, model: nn.Module, sizes: Sequence[Size], num_members: int
) -> None:
    """Compares what one sequence of each size needs at the least with what there is.

    Args:
      config: a valid one.
      task: that it names.
      model: that it names.
      sizes: of the sequences.
      num_members: that see them together.

    Raises:
      ConfigError: there is not enough; as for `check_training`.
    """
    for size in sizes:
        batch = jax.eval_shape(lambda size=size: task.sample_at(jax.random.key(0), 1, *size))
        needed = num_members * (_bytes(batch) + _carry_bytes(model, task, 1))
        what = f"a sequence of {describe(task, size)}"
        names = [eval_name(axis) for axis in task.axes]
        _check(config, what, needed, (*names, "task", "model.num_slots", "num_seeds"))


def _check(config: ConfigDict, what: str, needed: int, settings: Sequence[str]) -> None:
    have = _memory()
    if needed <= have:
        return
    given, usual = flat(config), flat(default(config.task.name, config.model.name))
    names = [name for name in given if name.startswith((*settings,))]
    name = max(names, key=lambda name: _largest(given[name]) / max(1, _largest(usual[name])))
    raise ConfigError(
        f"{name}: expected sizes that fit into {have / 2**30:,.0f} GiB of memory, got "
        f"{given[name]!r}; {what} would take at least {needed / 2**30:,.0f} GiB"
    )


def _largest(value: Any) -> int:
    """The number in a setting that is a size, or the largest of several; 0 for what is none."""
    numbers = value if isinstance(value, tuple) else (value,)
    return max((number for number in numbers if type(number) is int), default=0)


def _carry_bytes(model: nn.Module, task: Task, batch_size: int) -> int:
    if not hasattr(model, "cell"):
        return 0
    shape = batch_size, task.input_features
    carry = jax.eval_shape(lambda: model.cell.initialize_carry(jax.random.key(0), shape))
    return _bytes(carry)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _memory() -> int:
    """Bytes that all devices have, or this machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] * jax.device_count()
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
