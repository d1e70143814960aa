"""From the names in a valid config to the task, the model and the optimizer they stand for."""

from collections.abc import Callable, Iterable

import flax.linen as nn
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from ntm_jax import baselines, controllers, models
from ntm_jax.cell import NTMCell, marked_memory, one_hot_weights, uniform_weights
from ntm_jax.training.config import ConfigError, eval_name, eval_sizes
from ntm_jax.initializers import Initializer
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import UNIFORM, Curriculum, Task, describe

__all__ = ["make_curriculum", "make_model", "make_optimizer", "make_task", "make_trained_models"]

_BASELINES: dict[str, Callable[..., nn.Module]] = {
    "skip_lstm": baselines.skip_lstm,
    "gru": baselines.gru,
    "transformer": baselines.Transformer,
    "keras_lstm": baselines.keras_lstm,
    "dense": baselines.dense,
}
# Of the memory, by its scale.
_STARTS: dict[str, Callable[..., Initializer]] = {
    "marked": marked_memory,
    "constant": nn.initializers.constant,
    "random": nn.initializers.normal,
    "learned": nn.initializers.normal,
}
_ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "sigmoid": nn.sigmoid, "linear": lambda x: x}


def make_task(config: ConfigDict) -> Task:
    """The task that the config names.

    Raises:
      ConfigError: a value out of its range.
    """
    fields = dict(config.task)
    try:
        task = TASKS[fields.pop("name")](**fields)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    try:
        for size in eval_sizes(config):
            task.check_size(*size)
    except ValueError as error:
        axis, _, said = str(error).partition(": ")
        raise ConfigError(f"{eval_name(axis)}: {said}") from None
    return task


def make_model(config: ConfigDict, num_slots: int | None = None) -> nn.Module:
    """The model that the config names, with the task's output size.

    Args:
      config: a valid config.
      num_slots: another size of the memory than the config's.

    Raises:
      ConfigError: no such model, or `num_slots` for a model without a memory.
    """
    fields = dict(config.model)
    name = fields.pop("name")
    features = make_task(config).output_features
    if name == "ntm":
        return _ntm(config.model, features, _slots(config.model, num_slots))
    if num_slots is not None:
        raise ConfigError(f"slots: expected a model with a memory, got {name!r}")
    try:
        return _BASELINES[name](features, **fields)
    except ValueError as error:
        raise ConfigError(f"model.{error}") from None


def make_trained_models(config: ConfigDict) -> list[nn.Module]:
    """The models that take turns in training, of the same parameters; the smallest memory first.

    Raises:
      ConfigError: as for `make_model`, or the memory is too small for what the task draws.
    """
    if "num_slots" not in config.model:
        return [make_model(config)]
    task, train_slots = make_task(config), config.model.train_slots
    sizes = sorted(train_slots) or [config.model.num_slots]
    needed = task.min_slots(*task.trained_size)
    if sizes[0] < needed:
        raise ConfigError(
            f"model.{'train_slots' if train_slots else 'num_slots'}: expected {needed} or more for "
            f"{config.task.name} of {describe(task, task.trained_size)}"
            + (f", or () for num_slots, got {train_slots}" if train_slots else f", got {sizes[0]}")
        )
    return [make_model(config, size) for size in sizes]


def make_curriculum(config: ConfigDict) -> Curriculum:
    """The sizes that the config lets each update draw from.

    Raises:
      ConfigError: a curriculum for a task of one size.
    """
    if config.curriculum != "uniform" and TASKS[config.task.name].one_size:
        raise ConfigError(
            f"curriculum: expected 'uniform' for {config.task.name}, whose examples are all of one "
            f"size, got {config.curriculum!r}"
        )
    return {
        "none": Curriculum(least=1.0),
        "uniform": UNIFORM,
        "growing": Curriculum(
            first=0.0, growth=1 / config.curriculum_updates, small_error=config.curriculum_error
        ),
    }[config.curriculum]


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The optimizer that the config names, behind clipping of the gradient."""
    rate = config.learning_rate
    if config.learning_rate_half_life:
        rate = optax.exponential_decay(rate, config.learning_rate_half_life, 0.5)
    if config.optimizer == "adam":
        optimizer = optax.adam(rate, b2=config.adam_b2, eps=config.adam_eps)
    else:
        # Graves (2013), equations 38 to 41: sqrt(n - g^2 + 1e-4), the constant inside the root.
        optimizer = optax.rmsprop(
            rate,
            decay=0.95,
            eps=1e-4,
            centered=True,
            momentum=0.9,
            eps_in_sqrt=True,
        )
    clips = []
    if config.clip_value:
        clips.append(optax.clip(config.clip_value))
    if config.clip_norm:
        clips.append(optax.clip_by_global_norm(config.clip_norm))
    return optax.chain(*clips, optimizer)


def _slots(fields: ConfigDict, num_slots: int | None) -> int:
    """The size of the memory; what is learned of each slot needs as many as in training."""
    chosen = fields.num_slots if num_slots is None else num_slots
    trained = min(fields.train_slots, default=fields.num_slots)
    if "learned" in (fields.memory_start, fields.weights_start) and chosen < trained:
        raise ConfigError(
            f"{'model.num_slots' if num_slots is None else 'slots'}: expected at least the "
            f"{trained} with which the start is learned, got {chosen}"
        )
    return chosen


def _ntm(fields: ConfigDict, features: int, num_slots: int) -> models.NTM:
    dtype = None if fields.dtype == "float32" else jnp.bfloat16
    if fields.controller == "feed_forward":
        controller: nn.RNNCellBase = controllers.FeedForward(
            tuple(fields.hidden_sizes), activation=_ACTIVATIONS[fields.activation], dtype=dtype
        )
    elif fields.controller == "lstm":
        controller = _stack(
            controllers.LSTM(size, forget_bias=fields.forget_bias, dtype=dtype)
            for size in fields.hidden_sizes
        )
    else:
        controller = _stack(nn.GRUCell(size, dtype=dtype) for size in fields.hidden_sizes)
    cell = NTMCell(
        features,
        controller,
        num_slots=num_slots,
        memory_init=_STARTS[fields.memory_start](fields.memory_scale),
        weights_init=uniform_weights if fields.weights_start == "uniform" else one_hot_weights,
        dtype=dtype,
        **{
            name: fields[name]
            for name in (
                "slot_width",
                "num_read_heads",
                "num_write_heads",
                "max_shift",
                "strength_bias",
                "gate_bias",
                "sharpness_bias",
                "shift_bias",
                "content_reads",
                "output_from_reads",
            )
        },
    )
    learn = [part for part in models.LEARNABLE if fields[f"{part}_start"] == "learned"]
    return models.NTM(
        cell,
        learn=tuple(learn),
        head_noise=fields.head_noise,
        remat=fields.remat,
        segment=fields.segment,
    )


def _stack(cells: Iterable[nn.RNNCellBase]) -> nn.RNNCellBase:
    cells = tuple(cells)
    if not cells:
        raise ConfigError(
            "model.hidden_sizes: expected at least one size for a recurrent controller, got ()"
        )
    return cells[0] if len(cells) == 1 else controllers.Stack(cells)
