"""From a config to the objects that it describes: task, models, optimizer and curriculum."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from ntm_jax import optimizers
from ntm_jax.models import NTM
from ntm_jax.runtime import memory_estimate
from ntm_jax.tasks import find_task
from ntm_jax.tasks.base import Size, Task, describe_size
from ntm_jax.training import model_factory
from ntm_jax.training.config import (
    ConfigError,
    choose,
    eval_key,
    eval_sizes,
    flatten,
    member_seeds,
    validate,
    with_floats,
)
from ntm_jax.training.ensemble import Ensemble
from ntm_jax.training.train_step import Curriculum
from ntm_jax.training.trainer import Trainer

__all__ = ["Experiment"]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The objects that a config describes; built once, by `from_config`.

    Attributes:
      task: the task.
      model: the model that is evaluated, from inputs [B, T, I] to logits [B, T, O].
      train_models: models with the same parameters that training steps alternate between; they
        differ in the number of memory slots, the smallest first.
      optimizer: gradient clipping and the optimizer.
      curriculum: the task sizes that training samples from.
      eval_sizes: the task sizes that are evaluated.
      num_slots: slots of the memory of `model`; None for a model without one.
    """

    task: Task
    model: nn.Module
    train_models: Sequence[nn.Module]
    optimizer: optax.GradientTransformation
    curriculum: Curriculum
    eval_sizes: Sequence[Size]
    num_slots: int | None
    _config: Any

    @classmethod
    def from_config(cls, config: Any, num_slots: int | None = None) -> "Experiment":
        """Builds the objects of a config.

        Args:
          config: a `ConfigDict`, or nested dicts with the same keys.
          num_slots: memory slots of `model`, in place of the config's.

        Raises:
          ConfigError: an invalid value, or `num_slots` for a model without a memory.
        """
        validate(config)
        config = with_floats(config)
        task = _make_task(config)
        model, train_models = model_factory.make_models(config["model"], task, num_slots)
        return cls(
            task,
            model,
            train_models,
            _make_optimizer(config),
            _make_curriculum(config, task),
            eval_sizes(config),
            model.cell.num_slots if isinstance(model, NTM) else None,
            config,
        )

    @property
    def param_shapes(self) -> Any:
        """The shapes of the parameters of one member.

        Those of the training models: learned initial memories depend on the number of slots.
        """
        inputs = jax.ShapeDtypeStruct((1, 1, self.task.input_features), jnp.float32)
        return jax.eval_shape(self.train_models[0].init, jax.random.key(0), inputs)["params"]

    def make_trainer(self) -> Trainer:
        """Builds the trainer of all ensemble members.

        Raises:
          ConfigError: the members and the batch cannot be divided among the processes.
        """
        try:
            return Trainer(
                self.train_models,
                self.task,
                self.optimizer,
                self._config["batch_size"],
                member_seeds(self._config),
                self._config["ema_decay"],
                self.curriculum,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def learning_rates(self, updates: Sequence[int]) -> list[float]:
        """Returns the learning rate of each member after its number of updates."""
        config = self._config
        schedule = optimizers.learning_rate_schedule(
            config["learning_rate"], config["learning_rate_half_life"]
        )
        with jax.numpy_dtype_promotion("standard"):
            return [float(schedule(count)) for count in updates]

    def make_ensemble(self) -> Ensemble:
        """Builds the ensemble before its first evaluation."""
        config = self._config
        return Ensemble(
            self.task,
            member_seeds(config),
            batch_size=config["batch_size"],
            solved_patience=config["solved_patience"],
            train_steps_after_solved=config["train_steps_after_solved"],
            restart_after_steps=config["restart_after_steps"],
            max_consecutive_nonfinite=config["max_consecutive_nonfinite"],
        )

    def is_evaluated(self, step: int) -> bool:
        """Returns whether training has an evaluation after this number of training steps."""
        every, last = self._config["eval_every_steps"], self._config["num_train_steps"]
        return step > 0 and (step % every == 0 or step == last)

    def check_training_memory(self) -> None:
        """Compares a lower bound of the memory that training needs with what the devices have.

        Raises:
          ConfigError: training cannot fit; the message names the key with the largest value among
            those that matter.
        """
        config, task, model = self._config, self.task, self.train_models[-1]
        members, batch_size = config["num_seeds"], config["batch_size"]
        batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), batch_size))
        num_steps = batch.inputs.shape[1]
        chunk = min(config["model"].get("remat_chunk_size", 0), num_steps)
        stored_carries = math.ceil(num_steps / chunk) if chunk else num_steps
        carry = memory_estimate.carry_bytes(model, (batch_size, task.input_features))
        log_steps = min(config["log_every_steps"], config["num_train_steps"])
        for name, needed, keys in (
            # The parameters, their average and their gradient.
            ("parameters", 3 * memory_estimate.tree_bytes(self.param_shapes), ("model", "task")),
            ("sequences", memory_estimate.tree_bytes(batch), ("task", "batch_size")),
            ("carries for the gradient", stored_carries * carry, ("model", "task", "batch_size")),
            ("metrics", 16 * log_steps, ("log_every_steps",)),
        ):
            self._check_memory(name, members * needed, (*keys, "num_seeds"))

    def check_evaluation_memory(self, sizes: Sequence[Size], num_members: int) -> None:
        """Compares the memory that one sequence of each size needs with what the devices have.

        Raises:
          ConfigError: a sequence cannot fit; the message names the key with the largest value among
            those that matter.
        """
        eval_keys = [eval_key(axis) for axis in self.task.size_axes]
        carry = memory_estimate.carry_bytes(self.model, (1, self.task.input_features))
        for size in sizes:
            batch = jax.eval_shape(lambda s=size: self.task.sample_size(jax.random.key(0), 1, *s))
            self._check_memory(
                f"a sequence of {describe_size(self.task, size)}",
                num_members * (memory_estimate.tree_bytes(batch) + carry),
                (*eval_keys, "task", "model.num_slots", "num_seeds"),
            )

    def _check_memory(self, name: str, needed: int, keys: Sequence[str]) -> None:
        available = memory_estimate.available_bytes()
        if needed > available:
            values = flatten(self._config)
            if self.num_slots is not None:
                values["model.num_slots"] = self.num_slots
            relevant = {k: v for k, v in values.items() if k.startswith((*keys,))}
            largest = max(relevant, key=lambda key: _largest_integer(relevant[key]))
            raise ConfigError(
                f"{largest}: expected a value that fits into {available / 2**30:,.0f} GiB of "
                f"memory, got {relevant[largest]!r}; {name} would take at least "
                f"{needed / 2**30:,.0f} GiB"
            )


def _largest_integer(value: Any) -> int:
    values = value if isinstance(value, tuple) else (value,)
    return max((number for number in values if type(number) is int), default=0)


def _make_task(config: Any) -> Task:
    keys = dict(config["task"].items())
    try:
        task = find_task(keys.pop("name"))(**keys)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    _check_batch(task)
    try:
        for size in eval_sizes(config):
            task.check_size(*size)
    except ValueError as error:
        axis, _, message = str(error).partition(": ")
        raise ConfigError(f"{eval_key(axis)}: {message}") from None
    return task


def _check_batch(task: Task) -> None:
    batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), 2))
    num_steps = batch.inputs.shape[1]
    for field, features in (("inputs", task.input_features), ("targets", task.output_features)):
        expected, got = (2, num_steps, features), getattr(batch, field).shape
        if got != expected:
            raise ConfigError(f"task.name: expected {field} {expected} for batch size 2, got {got}")
    metrics = jax.eval_shape(task.metrics, batch.targets, batch)
    for name in ("bits_per_sequence", task.metric):
        if name not in metrics:
            raise ConfigError(f"task.name: expected {name} among the metrics, got {(*metrics,)}")


def _make_curriculum(config: Any, task: Task) -> Curriculum:
    curriculum = choose(
        "curriculum",
        {
            "uniform": Curriculum(),
            "max_size": Curriculum(min_fraction=1.0),
            "growing": Curriculum(
                initial_fraction=0.0,
                growth_per_step=1 / config["curriculum_steps"],
                loss_threshold=config["curriculum_loss_threshold"],
            ),
        },
        config["curriculum"],
    )
    if config["curriculum"] != "uniform" and task.fixed_size:
        raise ConfigError(
            f"curriculum: expected 'uniform' for {config['task']['name']}, whose examples all have "
            f"one size, got {config['curriculum']!r}"
        )
    return curriculum


def _make_optimizer(config: Any) -> optax.GradientTransformation:
    settings = (config["learning_rate"], config["learning_rate_half_life"])
    clipping = (config["max_grad_norm"], config["max_grad_value"])
    make = {
        "adam": lambda: optimizers.adam(
            *settings, config["adam_b2"], config["adam_eps"], *clipping
        ),
        "rmsprop_graves2013": lambda: optimizers.rmsprop_graves2013(*settings, *clipping),
    }
    return choose("optimizer", make, config["optimizer"])()
