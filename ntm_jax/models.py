"""Whole sequences: a cell scanned over time, with what one step cannot know.

`Recurrent` drives any cell, `NTM` the Neural Turing Machine.

B is the batch, T the time steps, I and O the input and output features.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax import weight_gradients
from ntm_jax.cell import NTMCell, NTMState, Step
from ntm_jax.starts import Initializer

__all__ = [
    "IMPLEMENTATIONS",
    "LEARNABLE",
    "NTM",
    "Recurrent",
    "num_params",
    "trace",
]

IMPLEMENTATIONS = ("xla", "fused", "auto")

# Parts of an NTM's initial state that can be parameters.
LEARNABLE = ("controller", "memory", "weights")

# Of learned weightings. Were all logits equal, no gradient would ever tell slots of equal memory
# apart, and nothing could be learned over a constant one.
_LOGITS = nn.initializers.normal(0.1)


class Recurrent(nn.Module):
    """A recurrent cell over a sequence.

    Attributes:
      cell: any RNN cell.
      features: O of a dense layer over the cell's outputs; None hands them out as they are.
      learn_carry: the initial carry is a set of parameters, started at the cell's own.
      unroll: steps of the scan in one iteration of its loop.
      remat: recompute each step in the backward pass in place of storing what it needs. Slower
        on paper, faster where memory traffic is the limit.
      segment: if positive, the backward pass keeps the carry only every so many steps, and computes
        what lies between once more; about the square root of T keeps the least. 0 keeps all.
    """

    cell: nn.RNNCellBase
    features: int | None = None
    learn_carry: bool = False
    unroll: int = 1
    remat: bool = False
    segment: int = 0

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        mask: jax.Array | None = None,
        initial_carry: Any = None,
        return_carry: bool = False,
    ) -> Any:
        """Runs the sequence.

        A long stream can be fed in pieces: hand the final carry of one piece to the next.

        Args:
          inputs: [B, T, I] or [T, I].
          mask: [B, T] or [T], boolean. A step where it is false changes nothing in the carry, and
            its output is zero.
          initial_carry: what to start from; None means the model's own start.
          return_carry: also hand back the final carry.

        Returns:
          The outputs, [B, T, O] or [T, O]; with `return_carry` the pair (final carry, outputs).

        Raises:
          ValueError: a shape does not fit.
        """
        if inputs.ndim < 2:
            raise ValueError(f"inputs: expected [B, T, I] or [T, I], got shape {inputs.shape}")
        if mask is not None and mask.shape != inputs.shape[:-1]:
            raise ValueError(f"mask: expected shape {inputs.shape[:-1]}, got {mask.shape}")
        carry = initial_carry
        start = self.start((*inputs.shape[:-2], inputs.shape[-1]))
        if carry is None:
            carry = start
        carry, outputs = self.run(carry, inputs, mask)
        if self.features is not None:
            outputs = nn.Dense(self.features, name="output")(outputs)
        return (carry, outputs) if return_carry else outputs

    def run(self, carry: Any, inputs: jax.Array, mask: jax.Array | None) -> tuple[Any, jax.Array]:
        """The cell's steps, by a scan: from the first carry to the last one and the outputs."""

        def step(cell: nn.RNNCellBase, carry: Any, seen: tuple) -> tuple[Any, jax.Array]:
            inputs, mask = seen
            following, outputs = cell(carry, inputs)
            if mask is not None:
                following = jax.tree.map(
                    lambda new, old: jnp.where(_expand(mask, new.ndim), new, old), following, carry
                )
                outputs = jnp.where(mask[..., None], outputs, jnp.zeros_like(outputs))
            return following, outputs

        if self.remat:
            step = nn.remat(step, prevent_cse=False)
        steps = self._scan(step, inputs.ndim - 2)
        if self.segment:
            return self._segments(steps, carry, inputs, mask)
        return steps(self.cell, carry, (inputs, mask))

    def _scan(self, function: Callable[..., Any], time_axis: int) -> Callable[..., Any]:
        return nn.scan(
            function,
            variable_broadcast=("params", weight_gradients.TRANSPOSED),
            variable_axes={"trace": time_axis, weight_gradients.COLLECTIONS: 0},
            split_rngs={"params": False, "dropout": True},
            in_axes=time_axis,
            out_axes=time_axis,
            unroll=self.unroll,
        )

    def _segments(
        self, steps: Callable[..., Any], carry: Any, inputs: jax.Array, mask: jax.Array | None
    ) -> tuple[Any, jax.Array]:
        """A scan over segments of a scan over steps; masked ones fill the last segment."""
        time_axis, num_steps = inputs.ndim - 2, inputs.shape[-2]
        # A longer one would be padding for the most part.
        segment = min(self.segment, max(num_steps, 1))
        missing = -num_steps % segment
        if missing:
            mask = jnp.ones(inputs.shape[:-1], bool) if mask is None else mask
            inputs, mask = (
                jnp.pad(
                    array, [(0, missing if axis == time_axis else 0) for axis in range(array.ndim)]
                )
                for array in (inputs, mask)
            )
        seen = jax.tree.map(
            lambda array: array.reshape(
                *array.shape[:time_axis], -1, segment, *array.shape[time_axis + 1 :]
            ),
            (inputs, mask),
        )
        segments = self._scan(nn.remat(steps, prevent_cse=False), time_axis)
        carry, outputs = segments(self.cell, carry, seen)
        outputs = outputs.reshape(*inputs.shape[:-1], -1)
        return carry, outputs[..., :num_steps, :]

    def start(self, input_shape: tuple[int, ...]) -> Any:
        """The carry before the first step, for inputs of one step, [..., I]."""
        # A fixed key: a start drawn at random is drawn once, and is the same in every sequence.
        carry = self.cell.initialize_carry(jax.random.key(0), input_shape)
        return self._learned("carry", carry, input_shape) if self.learn_carry else carry

    def _learned(self, name: str, carry: Any, input_shape: tuple[int, ...]) -> Any:
        """`carry` with every leaf a parameter that starts at its value."""
        batch = input_shape[:-1]
        leaves, structure = jax.tree.flatten(carry)
        learned = []
        for index, leaf in enumerate(leaves):
            one = leaf[(0,) * len(batch)]
            value = self.param(f"initial_{name}_{index}", lambda key, one=one: one)
            learned.append(jnp.broadcast_to(value, leaf.shape))
        return jax.tree.unflatten(structure, learned)


class NTM(Recurrent):
    """A Neural Turing Machine over a sequence: `Recurrent` around an `NTMCell`.

    Attributes:
      learn: which parts of the initial state are parameters, out of "controller", "memory" and
        "weights"; the others start as the cell says. The shapes of a learned memory and learned
        weightings do depend on the number of slots; in a larger memory the further slots start as
        the cell's `memory_init` says and with weight zero. Learned weightings start at random,
        nearly uniform; the other parts where the cell does.
      implementation: of the sequence: "xla", a scan; "fused", one kernel launch on a GPU (`fused`),
        for the machines that it is written for; "auto", the kernel where it can be and the scan
        elsewhere, with a line in the log that says why. On a CPU "fused" is interpreted: slow, and
        for tests alone. `unroll`, `remat` and `segment` are of the scan.

    Raises:
      ValueError: an implementation that there is not.
    """

    cell: NTMCell
    learn: Sequence[str] = ()
    implementation: str = "xla"

    def __post_init__(self) -> None:
        """Checks the implementation's name."""
        super().__post_init__()
        if self.implementation not in IMPLEMENTATIONS:
            raise ValueError(
                f"implementation: expected one of {IMPLEMENTATIONS}, got {self.implementation!r}"
            )

    def run(
        self, carry: NTMState, inputs: jax.Array, mask: jax.Array | None
    ) -> tuple[NTMState, jax.Array]:
        """The machine's steps, in one kernel launch where that is asked for and can be.

        Raises:
          ValueError: "fused" is asked for, and cannot be.
        """
        if self.implementation == "xla" or self.is_initializing():
            return super().run(carry, inputs, mask)
        from ntm_jax import fused  # Pallas: who imports the cell does not want it

        recorded = self.is_mutable_collection("trace")
        noisy = self.cell.head_noise > 0 and self.has_rng("dropout")
        if fused.fits(self.implementation, self.cell, carry, inputs, mask, recorded, noisy):
            return fused.run(self.cell, self.cell.variables["params"], carry, inputs)
        return super().run(carry, inputs, mask)

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
    # Nothing to keep small, as there is no backward pass; and step by step, not in one launch.
    whole = model.clone(segment=0, implementation="xla")
    outputs, recorded = whole.apply({"params": params}, inputs, mask, mutable=["trace"])
    return outputs, recorded["trace"]["cell"]["step"]


def num_params(params: Any) -> int:
    """How many numbers there are in a model's parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _expand(mask: jax.Array, ndim: int) -> jax.Array:
    return mask.reshape(*mask.shape, *(1,) * (ndim - mask.ndim))
