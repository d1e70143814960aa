"""Builds models from the "model" section of a config."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ntm_jax import controllers, initializers
from ntm_jax.baselines import BASELINES
from ntm_jax.cell import NTMCell
from ntm_jax.models import LEARNED_INITS, NTM
from ntm_jax.tasks.base import Task, describe_size
from ntm_jax.training.config import ConfigError, choose

__all__ = ["make_models"]

_ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "sigmoid": nn.sigmoid, "linear": lambda x: x}
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
# Initial memory, by its scale.
_MEMORY_INITS: dict[str, Callable[[float], initializers.Initializer]] = {
    "first_slot_marker": initializers.first_slot_marker,
    "constant": nn.initializers.constant,
    "random": nn.initializers.normal,
    "learned": nn.initializers.normal,
}
_HEAD_INITS = {
    "one_hot": initializers.one_hot_weighting,
    "uniform": initializers.uniform_weighting,
    "learned": initializers.one_hot_weighting,  # replaced by parameters
}


def make_models(
    keys: Mapping[str, Any], task: Task, num_slots: int | None
) -> tuple[nn.Module, Sequence[nn.Module]]:
    """Builds one model, and its variants with other numbers of memory slots.

    Args:
      keys: the "model" section of a config.
      task: the task, which sets the output size and the smallest memory.
      num_slots: memory slots of the evaluated model, in place of the config's.

    Returns:
      The model to evaluate, and the models to train, the smallest memory first.

    Raises:
      ConfigError: an invalid value, or `num_slots` for a model without a memory.
    """
    model = _make_model(keys, task.output_features)
    if isinstance(model, NTM):
        eval_model = _with_num_slots(model, _eval_num_slots(keys, num_slots))
        training = model.clone(deterministic=False)
        return eval_model.clone(deterministic=True), [
            _with_num_slots(training, n) for n in _train_num_slots(keys, task)
        ]
    if num_slots is not None:
        raise ConfigError(f"slots: expected a model with a memory, got {keys['name']!r}")
    return model, [model]


def _make_model(keys: Mapping[str, Any], features: int) -> nn.Module:
    try:
        if keys["name"] == "ntm":
            return _make_ntm(keys, features)
        options = {key: value for key, value in keys.items() if key != "name"}
        return BASELINES[keys["name"]](features, **options)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"model.{error}") from None


def _make_ntm(keys: Mapping[str, Any], features: int) -> NTM:
    dtype = choose("model.dtype", _DTYPES, keys["dtype"])
    memory_init = choose("model.memory_init", _MEMORY_INITS, keys["memory_init"])
    head_init = choose("model.head_init", _HEAD_INITS, keys["head_init"])
    choose("model.controller_init", dict.fromkeys(("zero", "learned")), keys["controller_init"])
    cell = NTMCell(
        features,
        _make_controller(keys, dtype),
        memory_init=memory_init(keys["memory_init_scale"]),
        head_init=head_init,
        dtype=dtype,
        **_fields_in(NTMCell, keys),
    )
    learned = tuple(part for part in LEARNED_INITS if keys[f"{part}_init"] == "learned")
    return NTM(cell, learned_init=learned, **_fields_in(NTM, keys))


def _fields_in(module: type[nn.Module], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config values that a module takes as they are, by the names of its fields."""
    given_apart = ("name", "dtype", "controller", "memory_init", "head_init")
    names = [f.name for f in dataclasses.fields(module) if f.name not in given_apart]  # type: ignore[arg-type]
    return {name: keys[name] for name in names if name in keys}


def _make_controller(keys: Mapping[str, Any], dtype: Any) -> nn.RNNCellBase:
    sizes = keys["hidden_sizes"]
    activation = choose("model.activation", _ACTIVATIONS, keys["activation"])
    make_cell = choose(
        "model.controller",
        {
            "feed_forward": None,
            "lstm": lambda size: controllers.LSTM(size, keys["forget_bias"], dtype),
            "gru": lambda size: nn.GRUCell(size, dtype=dtype),
        },
        keys["controller"],
    )
    if make_cell is None:
        return controllers.FeedForward(sizes, activation, dtype=dtype)
    if not sizes:
        raise ValueError("hidden_sizes: expected at least one size for this controller, got ()")
    cells = tuple(make_cell(size) for size in sizes)
    return cells[0] if len(cells) == 1 else controllers.Stack(cells)


def _with_num_slots(model: NTM, num_slots: int) -> NTM:
    return model.clone(cell=model.cell.clone(num_slots=num_slots))


def _train_num_slots(keys: Mapping[str, Any], task: Task) -> list[int]:
    key = "train_num_slots" if keys["train_num_slots"] else "num_slots"
    sizes = sorted(keys["train_num_slots"]) or [keys["num_slots"]]
    needed = task.min_slots(*task.max_train_size)
    if sizes[0] < needed:
        raise ConfigError(
            f"model.{key}: expected at least {needed} for "
            f"{describe_size(task, task.max_train_size)}, got {keys[key]}"
        )
    return sizes


def _eval_num_slots(keys: Mapping[str, Any], num_slots: int | None) -> int:
    """Returns the slots of the evaluated model; learned slots need as many as in training."""
    chosen = keys["num_slots"] if num_slots is None else num_slots
    trained = min(keys["train_num_slots"], default=keys["num_slots"])
    if "learned" in (keys["memory_init"], keys["head_init"]) and chosen < trained:
        raise ConfigError(
            f"{'model.num_slots' if num_slots is None else 'slots'}: expected at least the "
            f"{trained} slots of the learned initial state, got {chosen}"
        )
    return chosen
