"""The Neural Turing Machine over whole sequences: how it starts, and by what it is run.

B is the batch, T the time steps, I and O the input and output features.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax import heads
from ntm_jax.cell import NTMCell, NTMState, Step
from ntm_jax.rnn import Recurrent
from ntm_jax.initializers import Initializer

__all__ = [
    "LEARNABLE",
    "NTM",
    "num_params",
    "trace",
]

# Parts of an NTM's initial state that can be parameters.
LEARNABLE = ("controller", "memory", "weights")

# Of learned weightings. Were all logits equal, no gradient would ever tell slots of equal memory
# apart, and nothing could be learned over a constant one.
_LOGITS = nn.initializers.normal(0.1)


class NTM(Recurrent):
    """A Neural Turing Machine over a sequence: `Recurrent` around an `NTMCell`.

    Attributes:
      learn: which parts of the initial state are parameters, out of "controller", "memory" and
        "weights"; the others start as the cell says. The shapes of a learned memory and learned
        weightings do depend on the number of slots; in a larger memory the further slots start as
        the cell's `memory_init` says and with weight zero. Learned weightings start at random,
        nearly uniform; the other parts where the cell does.
      head_noise: deviation of normal noise on the raw strengths, gates, sharpnesses and shifts, if
        a "dropout" key is given to `apply`; drawn anew for every step, the same for a whole batch.
        A jump that is only just made, or a step that only just follows the last, is lost to it now
        and then, and is learned until there is room to spare.
    """

    cell: NTMCell
    learn: Sequence[str] = ()
    head_noise: float = 0.0

    def run(
        self, carry: NTMState, inputs: jax.Array, mask: jax.Array | None, *others: Any
    ) -> tuple[NTMState, jax.Array]:
        """The machine's steps, with noise on what moves its heads."""
        return super().run(carry, inputs, mask, self._noise(inputs), *others)

    def _noise(self, inputs: jax.Array) -> jax.Array | None:
        """On the heads, for every step; the batch has one draw, over how many devices ever."""
        if not self.head_noise or not self.has_rng("dropout"):
            return None
        shape = (*(1,) * (inputs.ndim - 2), inputs.shape[-2])
        # All at once: drawn step by step, it would take a fifth of an update of a small batch.
        drawn = heads.movement_noise(self.make_rng("dropout"), shape, *self.cell.interface_sizes)
        return self.head_noise * drawn

    def start(self, input_shape: tuple[int, ...]) -> NTMState:
        """The state before the first step, for inputs of one step, [..., I]."""
        if self.learn_carry:
            raise ValueError(f"learn_carry: an NTM takes `learn`, with some of {LEARNABLE}")
        unknown = set(self.learn) - set(LEARNABLE)
        if unknown:
            raise ValueError(f"learn: expected some of {LEARNABLE}, got {sorted(unknown)}")
        state = super().start(input_shape)
        if "controller" in self.learn:
            state = state._replace(
                controller=self._learned("controller", state.controller, input_shape)
            )
        if "memory" in self.learn:
            state = state._replace(memory=self._learned_slots("memory", state.memory))
        if "weights" in self.learn:
            state = state._replace(
                read_weights=self._learned_weights("read_weights", state.read_weights),
                write_weights=self._learned_weights("write_weights", state.write_weights),
            )
        return state._replace(read_vectors=state.read_weights @ state.memory)

    def _learned_slots(self, name: str, fixed: jax.Array) -> jax.Array:
        one = fixed[(0,) * (fixed.ndim - 2)]
        value = self._stored(f"initial_{name}", one)
        return jnp.broadcast_to(jnp.concatenate([value, one[len(value) :]]), fixed.shape)

    def _learned_weights(self, name: str, fixed: jax.Array) -> jax.Array:
        one = fixed[(0,) * (fixed.ndim - 2)]
        logits = self._stored(f"initial_{name}", one, _LOGITS, axis=1)
        value = jax.nn.softmax(logits)
        further = one.shape[1] - value.shape[1]
        return jnp.broadcast_to(jnp.pad(value, ((0, 0), (0, further))), fixed.shape)

    def _stored(
        self, name: str, first: jax.Array, init: Initializer | None = None, axis: int = 0
    ) -> jax.Array:
        """A parameter of the shape of `first`, which it starts from unless `init` is given."""
        # Not `self.param` alone: that would refuse weights trained with fewer slots.
        if not self.has_variable("params", name):
            return self.param(name, init or (lambda *_: first), first.shape, first.dtype)
        stored: jax.Array = self.get_variable("params", name)
        if stored.shape[axis] > first.shape[axis]:
            raise ValueError(
                f"num_slots: expected at least the {stored.shape[axis]} that {name} was learned "
                f"with, got {first.shape[axis]}"
            )
        return stored


def trace(
    model: nn.Module, params: Any, inputs: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, Step]:
    """Runs a Neural Turing Machine and records every head at every step.

    Args:
      model: an `NTM`.
      params: its parameters.
      inputs: [B, T, I] or [T, I].
      mask: as for the model.

    Returns:
      The outputs, and a `Step` whose leaves have a time axis behind the batch axes. Masked steps
      show what the heads would have done.
    """
    # Nothing to keep small, as there is no backward pass.
    whole = model.clone(segment=0)
    outputs, recorded = whole.apply({"params": params}, inputs, mask, mutable=["trace"])
    return outputs, recorded["trace"]["cell"]["step"]


def num_params(params: Any) -> int:
    """How many numbers there are in a model's parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
