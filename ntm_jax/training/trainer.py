"""Runs training steps of all ensemble members as one compiled program."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntm_jax.runtime.sharding import EnsembleMesh
from ntm_jax.tasks.base import Task
from ntm_jax.training.train_step import (
    Curriculum,
    TrainMetrics,
    TrainSetup,
    TrainState,
    init_state,
    train_step,
)

__all__ = ["Trainer"]


class Trainer:
    """Compiles `train_step` for an ensemble and runs it many times per dispatch.

    Args:
      models: see `TrainSetup`.
      task: the task to sample from.
      optimizer: from gradients to updates of the parameters.
      batch_size: B.
      seeds: one per member; each seeds its parameters and all its samples.
      ema_decay: decay of the parameter average, in [0, 1).
      curriculum: the range of sizes to sample from.

    Raises:
      ValueError: the members and the batch cannot be divided among the processes.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        task: Task,
        optimizer: optax.GradientTransformation,
        batch_size: int,
        seeds: Sequence[int],
        ema_decay: float = 0.0,
        curriculum: Curriculum | None = None,
    ) -> None:
        self.mesh = EnsembleMesh(len(seeds), batch_size)
        # The caller stops long before the count at which optax would stop skipping.
        optimizer = optax.apply_if_finite(optimizer, np.iinfo(np.int32).max)
        curriculum = curriculum or Curriculum()
        self.setup = TrainSetup(
            tuple(models), task, optimizer, batch_size, ema_decay, curriculum, self.mesh
        )
        # Arguments of the compiled programs: another seed does not recompile them.
        self._keys = np.stack([jax.random.key_data(jax.random.key(seed)) for seed in seeds])
        self._compiled: dict[int, jax.stages.Compiled] = {}

    def init(self) -> TrainState:
        """Returns the state of all members before the first training step."""
        keys = jax.random.wrap_key_data(jnp.asarray(self._keys))
        init = jax.jit(jax.vmap(functools.partial(init_state, self.setup)))
        return self.mesh.shard_members(init(keys))

    def restart(self, state: TrainState, reset_mask: Sequence[bool]) -> TrainState:
        """Re-initializes some members from parameters that were not drawn before.

        Args:
          state: the current state, which is donated.
          reset_mask: [E], true for members to re-initialize.
        """
        return self.mesh.shard_members(self._restart(state, self._keys, np.asarray(reset_mask)))

    @functools.cached_property
    def _restart(self) -> Callable[[TrainState, np.ndarray, np.ndarray], TrainState]:
        def single_member(state: TrainState, key: jax.Array, reset: jax.Array) -> TrainState:
            # Folded with the step, so that the parameters differ from all earlier ones.
            new_key = jax.random.fold_in(jax.random.wrap_key_data(key), state.step)
            new_state = init_state(self.setup, new_key)._replace(step=state.step)
            return jax.tree.map(lambda new, old: jnp.where(reset, new, old), new_state, state)

        return jax.jit(jax.vmap(single_member), donate_argnums=0)

    def to_checkpoint(self, state: TrainState) -> tuple[Any, Any]:
        """Returns the parameters that are evaluated, and the rest of the state."""
        rest = (state.optimizer_state, state.step, state.curriculum_progress)
        # Without averaging both sets of parameters are equal, and stored once.
        return state.ema_params, (*rest, state.params) if self.setup.ema_decay else rest

    def from_checkpoint(self, params: Any, train_state: Any) -> TrainState:
        """Returns the state that `to_checkpoint` took apart, on the devices."""
        optimizer_state, step, curriculum_progress, *latest = train_state
        latest_params = latest[0] if latest else params
        state = TrainState(latest_params, params, optimizer_state, step, curriculum_progress)
        return self.mesh.shard_members(state)

    def compile(self, state: TrainState, num_steps: int) -> jax.stages.Compiled:
        """Returns the program of `run` for this number of steps, compiled at the first call."""
        if num_steps in self._compiled:
            return self._compiled[num_steps]
        setup = self.setup

        def single_member(
            state: TrainState, key: jax.Array, active: jax.Array, model_index: jax.Array
        ) -> tuple[TrainState, TrainMetrics]:
            return train_step(setup, state, jax.random.wrap_key_data(key), active, model_index)

        all_members = self.mesh.vmap_members(single_member, (0, 0, 0, None))

        def run(
            state: TrainState, keys: jax.Array, active: jax.Array
        ) -> tuple[TrainState, TrainMetrics]:
            def step(state: TrainState, _: None) -> tuple[TrainState, TrainMetrics]:
                # Active members share the same step; those that stopped have a smaller one.
                model_index = jnp.max(state.step) % len(setup.models)
                return all_members(state, keys, active, model_index)

            return jax.lax.scan(step, state, length=num_steps)

        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            return run  # type: ignore[return-value]
        active = jax.ShapeDtypeStruct(self._keys.shape[:1], jnp.bool)
        lowered = jax.jit(run, donate_argnums=0).lower(state, self._keys, active)
        self._compiled[num_steps] = lowered.compile()
        return self._compiled[num_steps]

    def run(
        self, state: TrainState, num_steps: int, active: Sequence[bool] | None = None
    ) -> tuple[TrainState, TrainMetrics]:
        """Runs training steps in one dispatch.

        Args:
          state: the current state, which is donated.
          num_steps: U.
          active: [E], false for members that do not train; None trains all.

        Returns:
          The next state, and the metrics of every step, [U, E].
        """
        mask = np.ones(len(self._keys), bool) if active is None else np.asarray(active)
        return self.compile(state, num_steps)(state, self._keys, mask)
