"""The compiled part of training: many updates of all members of an ensemble as one program.

The sampling is inside it. Every random key is folded with the step, so that a resumed run is the
uninterrupted one, and a member of an ensemble is the same seed trained alone.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntm_jax.runtime import sharding
from ntm_jax.tasks import losses
from ntm_jax.training import deferred_gradients
from ntm_jax.tasks.base import UNIFORM, Batch, Curriculum, Task

__all__ = ["Measured", "TrainState", "Updates"]


class TrainState(NamedTuple):
    """All that an update changes; every leaf has a leading axis E, of the members.

    Attributes:
      params: of the model, after the last update.
      average: of the parameters over the last updates: the machine that is evaluated and kept.
      optimizer_state: of the optimizer, with the counts of skipped updates around it.
      step: updates behind it.
      grown: the share of the task's sizes that the curriculum has come to, in [0, 1].
    """

    params: Any
    average: Any
    optimizer_state: Any
    step: jax.Array
    grown: jax.Array


class Measured(NamedTuple):
    """What each of U updates of E members measured, leaves [U, E].

    Attributes:
      loss: nats per weighted bit.
      bits_per_sequence: cross-entropy of a sequence's scored bits, in bits.
      grad_norm: global norm of the gradient before clipping.
      skipped_in_a_row: updates left out for a value that is not finite, up to this one.
      grown: the share of the sizes that it drew from.
    """

    loss: jax.Array
    bits_per_sequence: jax.Array
    grad_norm: jax.Array
    skipped_in_a_row: jax.Array
    grown: jax.Array


class Updates:
    """A model, a task and an optimizer, as functions from one state to the next.

    Args:
      models: one or more with the same parameters, from inputs [B, T, I] to logits [B, T, O]. They
        take turns, an update each; the first says how the parameters start.
      task: what is sampled, anew in every update.
      optimizer: from gradients to changes of the parameters.
      batch_size: B.
      seeds: one for each of E members, of its parameters and of all its samples.
      ema_decay: in [0, 1), of the exponential moving average of the parameters; with 0 the average
        is the parameters themselves.
      curriculum: which sizes an update draws from.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        task: Task,
        optimizer: optax.GradientTransformation,
        batch_size: int,
        seeds: Sequence[int],
        ema_decay: float = 0.0,
        curriculum: Curriculum = UNIFORM,
    ) -> None:
        self._models, self.task, self._batch_size = tuple(models), task, batch_size
        self._ema_decay = ema_decay
        self._curriculum = curriculum
        self.devices = sharding.Devices(len(seeds), batch_size)
        # Handed to the compiled programs, not a part of them: another seed compiles nothing anew.
        self._keys = np.stack([jax.random.key_data(jax.random.key(seed)) for seed in seeds])
        # The caller stops long before the count at which optax would give in.
        self._optimizer = optax.apply_if_finite(optimizer, np.iinfo(np.int32).max)
        self._compiled: dict[int, Any] = {}

    def init(self) -> TrainState:
        """The state before the first update."""
        # One compilation in place of one for each operation.
        keys = jax.random.wrap_key_data(jnp.asarray(self._keys))
        return self.devices.put_members(jax.jit(jax.vmap(self._start))(keys))

    def restart(self, state: TrainState, which: Sequence[bool]) -> TrainState:
        """The state with some members begun anew, from parameters never drawn before.

        Args:
          state: is used up.
          which: [E], true for those members.
        """
        return self.devices.put_members(self._restart(state, self._keys, np.asarray(which)))

    @functools.cached_property
    def _restart(self) -> Callable[[TrainState, np.ndarray, np.ndarray], TrainState]:
        """Compiled at the first restart, for all that follow."""

        def of_one(state: TrainState, key: jax.Array, anew: jax.Array) -> TrainState:
            # The step makes the draw another than those before.
            another = jax.random.fold_in(jax.random.wrap_key_data(key), state.step)
            start = self._start(another)._replace(step=state.step)
            return jax.tree.map(lambda new, old: jnp.where(anew, new, old), start, state)

        return jax.jit(jax.vmap(of_one), donate_argnums=0)

    def _start(self, key: jax.Array) -> TrainState:
        """One member before its first update."""
        inputs = jnp.zeros((1, 1, self.task.input_features))
        params = self._models[0].init(jax.random.fold_in(key, 0), inputs)["params"]
        optimizer_state, step = self._optimizer.init(params), jnp.zeros((), jnp.int32)
        return TrainState(
            params, params, optimizer_state, step, jnp.float32(self._curriculum.first)
        )

    def to_checkpoint(self, state: TrainState) -> tuple[Any, Any]:
        """The parameters of the machine, and all else that going on takes."""
        others = (state.optimizer_state, state.step, state.grown)
        # Without averaging the latest parameters are the machine's, and stored once.
        return state.average, (*others, state.params) if self._ema_decay else others

    def from_checkpoint(self, params: Any, others: Any) -> TrainState:
        """The state that `to_checkpoint` took apart."""
        optimizer_state, step, grown, *latest = others
        return TrainState(latest[0] if latest else params, params, optimizer_state, step, grown)

    def compile(self, state: TrainState, num_updates: int) -> None:
        """Compiles `run` for this number of updates, unless that is done."""
        if num_updates not in self._compiled:
            of_all = self.devices.over_members(self._update, (0, 0, 0, None))

            def run(
                state: TrainState, keys: jax.Array, going_on: jax.Array
            ) -> tuple[TrainState, Measured]:
                def update(state: TrainState, _: None) -> tuple[TrainState, Measured]:
                    # Members that go on have the same step; those that do not have a smaller one.
                    turn = jnp.max(state.step) % len(self._models)
                    return of_all(state, keys, going_on, turn)

                return jax.lax.scan(update, state, length=num_updates)

            going_on = jax.ShapeDtypeStruct(self._keys.shape[:1], jnp.bool)
            lowered = jax.jit(run, donate_argnums=0).lower(state, self._keys, going_on)
            self._compiled[num_updates] = lowered.compile()

    def run(
        self, state: TrainState, num_updates: int, going_on: Sequence[bool] | None = None
    ) -> tuple[TrainState, Measured]:
        """`num_updates` updates in one dispatch.

        Args:
          state: is used up.
          num_updates: U.
          going_on: [E], false for a member that is to stay as it is; None for all to go on.

        Returns:
          The next state, and what was measured.
        """
        self.compile(state, num_updates)
        which = np.ones(len(self._keys), bool) if going_on is None else np.asarray(going_on)
        return self._compiled[num_updates](state, self._keys, which)

    def _update(
        self, state: TrainState, key: jax.Array, going_on: jax.Array, turn: jax.Array
    ) -> tuple[TrainState, Measured]:
        """One update of one member, by the model whose turn it is."""
        key = jax.random.fold_in(jax.random.wrap_key_data(key), state.step + 1)
        sample_key, dropout_key = jax.random.split(key)
        span = self._curriculum.least, state.grown
        batch = self.devices.shard_batch(self.task.sample(sample_key, self._batch_size, span))
        # Of all that an update is, the models alone differ: the rest is compiled once.
        of_models = [functools.partial(self._gradient, model) for model in self._models]
        loss, bits, gradient = jax.lax.switch(turn, of_models, state.params, batch, dropout_key)
        # One value that is not finite, in the loss or the gradient, makes the optimizer skip.
        gradient = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(loss), leaf, jnp.nan), gradient)
        change, optimizer_state = self._optimizer.update(
            gradient, state.optimizer_state, state.params
        )
        params = optax.apply_updates(state.params, change)
        average = optax.incremental_update(params, state.average, self._newest(state.step))
        measured = Measured(
            loss,
            bits,
            optax.tree.norm(gradient),
            optimizer_state.notfinite_count,
            state.grown,
        )
        after = TrainState(
            params, average, optimizer_state, state.step + 1, self._grown(state, loss)
        )
        return jax.tree.map(lambda new, old: jnp.where(going_on, new, old), after, state), measured

    def _gradient(
        self, model: nn.Module, params: Any, batch: Batch, dropout_key: jax.Array
    ) -> tuple[jax.Array, jax.Array, Any]:
        """The loss, the bits per sequence, and the gradient of the loss."""
        weights = jnp.where(batch.mask, 1.0, self.task.unscored_weight)
        apply = deferred_gradients.deferred(model)

        @self.devices.over_batch
        def run(params: Any, inputs: jax.Array) -> jax.Array:
            return apply(params, inputs, {"dropout": dropout_key})

        def loss_of(params: Any) -> tuple[jax.Array, jax.Array]:
            logits = run(params, batch.inputs)
            loss = losses.bit_cross_entropy(logits, batch.targets, weights)
            bits = losses.bits_per_sequence(logits, batch.targets, batch.mask)
            return loss, jnp.mean(bits)

        (loss, bits), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        return loss, bits, gradient

    def _grown(self, state: TrainState, loss: jax.Array) -> jax.Array:
        """The share of the sizes after an update of this loss, in nats."""
        small = loss / jnp.log(2.0) < self._curriculum.small_error
        return jnp.minimum(state.grown + jnp.where(small, self._curriculum.growth, 0.0), 1.0)

    def _newest(self, step: jax.Array) -> jax.Array:
        """Weight of the newest parameters in the average: the weights of all sum to one."""
        return (1.0 - self._ema_decay) / (1.0 - self._ema_decay ** (step + 1))
