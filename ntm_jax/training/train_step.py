"""The training step of one ensemble member, as a pure function.

Sampling is part of the step. Every random key is folded with the step, so a resumed run equals an
uninterrupted one, and an ensemble member equals the same seed trained alone.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from ntm_jax.runtime.sharding import EnsembleMesh
from ntm_jax.tasks.base import Batch, Task
from ntm_jax.training.deferred_gradients import deferred

__all__ = ["Curriculum", "TrainMetrics", "TrainSetup", "TrainState", "init_state", "train_step"]


class Curriculum(NamedTuple):
    """The range of sizes that a training step samples from.

    The range is given by two fractions of the way from the smallest to the largest size; the upper
    one grows with each step whose loss is small. The defaults cover all sizes from the start.

    Attributes:
      min_fraction: lower end of the range.
      initial_fraction: upper end of the range at the first step.
      growth_per_step: added to the upper end after a step with a small loss, up to 1.
      loss_threshold: the loss is small below this, in bits per scored bit.
    """

    min_fraction: float = 0.0
    initial_fraction: float = 1.0
    growth_per_step: float = 0.0
    loss_threshold: float = 0.0


class TrainState(NamedTuple):
    """The state of one ensemble member; with a leading axis E on every leaf, of all members.

    Attributes:
      params: the model parameters.
      ema_params: exponential moving average of `params`, which is evaluated and stored.
      optimizer_state: state of the optimizer, including its counts of skipped steps.
      step: number of completed training steps.
      curriculum_progress: upper end of the size range of the curriculum, in [0, 1].
    """

    params: Any
    ema_params: Any
    optimizer_state: Any
    step: jax.Array
    curriculum_progress: jax.Array


class TrainMetrics(NamedTuple):
    """Metrics of one training step; of U steps of E members with leading axes [U, E].

    Attributes:
      loss: the loss of the task; by default cross-entropy in nats per weighted bit.
      bits_per_sequence: cross-entropy of the scored steps of a sequence, in bits.
      grad_norm: global norm of the gradient before clipping.
      consecutive_nonfinite: steps skipped in a row, up to this one, because the loss or the
        gradient was not finite.
      curriculum_progress: upper end of the size range that the step sampled from.
    """

    loss: jax.Array
    bits_per_sequence: jax.Array
    grad_norm: jax.Array
    consecutive_nonfinite: jax.Array
    curriculum_progress: jax.Array


class TrainSetup(NamedTuple):
    """What training steps have in common.

    Attributes:
      models: models with the same parameters, from inputs [B, T, I] to logits [B, T, O]; training
        alternates between them. The first one initializes the parameters.
      task: the task to sample from.
      optimizer: the optimizer; it skips updates that are not finite.
      batch_size: B.
      ema_decay: decay of the parameter average, in [0, 1); 0 disables averaging.
      curriculum: the range of sizes to sample from.
      mesh: the devices.
    """

    models: tuple[nn.Module, ...]
    task: Task
    optimizer: optax.GradientTransformation
    batch_size: int
    ema_decay: float
    curriculum: Curriculum
    mesh: EnsembleMesh


def init_state(setup: TrainSetup, key: jax.Array) -> TrainState:
    """Returns the state of one member before its first training step."""
    inputs = jnp.zeros((1, 1, setup.task.input_features), jnp.float32)
    params = setup.models[0].init(jax.random.fold_in(key, 0), inputs)["params"]
    optimizer_state, step = setup.optimizer.init(params), jnp.zeros((), jnp.int32)
    progress = jnp.float32(setup.curriculum.initial_fraction)
    return TrainState(params, params, optimizer_state, step, progress)


def train_step(
    setup: TrainSetup, state: TrainState, key: jax.Array, active: jax.Array, model_index: jax.Array
) -> tuple[TrainState, TrainMetrics]:
    """Runs one training step of one member: sample, loss, gradient, update.

    Args:
      setup: model, task and optimizer.
      state: the state after the previous step.
      key: the member's random key, the same in every step.
      active: scalar, boolean; where false, the state is returned unchanged.
      model_index: scalar; which of `setup.models` this step trains.

    Returns:
      The next state, and the metrics of this step.
    """
    sample_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step + 1))
    sizes = (setup.curriculum.min_fraction, state.curriculum_progress)
    batch = setup.mesh.shard_batch(setup.task.sample(sample_key, setup.batch_size, sizes))
    # Only the models differ between steps: everything else is compiled once.
    branches = [functools.partial(_loss_and_grad, setup, model) for model in setup.models]
    loss, bits, grads = jax.lax.switch(model_index, branches, state.params, batch, dropout_key)
    # The optimizer skips an update with a non-finite gradient; a non-finite loss counts as one.
    grads = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(loss), leaf, jnp.nan), grads)
    with jax.numpy_dtype_promotion("standard"):  # optax multiplies integers and floats
        updates, optimizer_state = setup.optimizer.update(
            grads, state.optimizer_state, state.params
        )
        params = optax.apply_updates(state.params, updates)
        # The weight that makes the average bias-corrected.
        ema_weight = (1.0 - setup.ema_decay) / (1.0 - setup.ema_decay ** (state.step + 1))
        ema_params = optax.incremental_update(params, state.ema_params, ema_weight)
    progress = _advance_curriculum(setup.curriculum, state.curriculum_progress, loss)
    next_state = TrainState(params, ema_params, optimizer_state, state.step + 1, progress)
    metrics = TrainMetrics(
        loss,
        bits,
        optax.tree.norm(grads),
        optimizer_state.notfinite_count,
        state.curriculum_progress,
    )

    def select(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(active, new.astype(old.dtype), old)  # 64-bit JAX averages in float64

    return jax.tree.map(select, next_state, state), metrics


def _loss_and_grad(
    setup: TrainSetup, model: nn.Module, params: Any, batch: Batch, dropout_key: jax.Array
) -> tuple[jax.Array, jax.Array, Any]:
    """Returns the loss, the bits per sequence, and the gradient of the loss."""
    apply = deferred(model)

    @setup.mesh.shard_map_batch
    def logits_fn(params: Any, inputs: jax.Array) -> jax.Array:
        return apply(params, inputs, {"dropout": dropout_key})

    def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
        logits = logits_fn(params, batch.inputs)
        bits = setup.task.metrics(logits, batch)["bits_per_sequence"]
        return setup.task.loss(logits, batch), jnp.mean(bits)

    (loss, bits), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return loss, bits, grads


def _advance_curriculum(curriculum: Curriculum, progress: jax.Array, loss: jax.Array) -> jax.Array:
    is_small = loss / jnp.log(2.0) < curriculum.loss_threshold
    return jnp.minimum(progress + jnp.where(is_small, curriculum.growth_per_step, 0.0), 1.0)
