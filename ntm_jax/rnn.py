"""Any recurrent cell over a sequence: masks, streams in pieces, what the backward pass keeps.

B is the batch, T the time steps, I and O the input and output features.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax.training import deferred_gradients

__all__ = ["Recurrent"]


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

    def run(
        self, carry: Any, inputs: jax.Array, mask: jax.Array | None, *others: Any
    ) -> tuple[Any, jax.Array]:
        """The cell's steps, by a scan: from the first carry to the last one and the outputs.

        What else the cell is called with has the same axis of time as the inputs.
        """

        def step(cell: nn.RNNCellBase, carry: Any, seen: tuple) -> tuple[Any, jax.Array]:
            inputs, mask, *others = seen
            following, outputs = cell(carry, inputs, *others)
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
            return self._segments(steps, carry, inputs, mask, *others)
        return steps(self.cell, carry, (inputs, mask, *others))

    def _scan(self, function: Callable[..., Any], time_axis: int) -> Callable[..., Any]:
        return nn.scan(
            function,
            variable_broadcast=("params", deferred_gradients.TRANSPOSED),
            variable_axes={"trace": time_axis, deferred_gradients.COLLECTIONS: 0},
            split_rngs={"params": False, "dropout": True},
            in_axes=time_axis,
            out_axes=time_axis,
            unroll=self.unroll,
            # It traces the step once more, and in that makes the parameters.
            check_constancy_invariants=self.is_initializing(),
        )

    def _segments(
        self,
        steps: Callable[..., Any],
        carry: Any,
        inputs: jax.Array,
        mask: jax.Array | None,
        *others: Any,
    ) -> tuple[Any, jax.Array]:
        """A scan over segments of a scan over steps; masked ones fill the last segment."""
        time_axis, num_steps = inputs.ndim - 2, inputs.shape[-2]
        # A longer one would be padding for the most part.
        segment = min(self.segment, max(num_steps, 1))
        missing = -num_steps % segment
        if missing and mask is None:
            mask = jnp.ones(inputs.shape[:-1], bool)

        def split(array: jax.Array) -> jax.Array:
            filling = [(0, missing if axis == time_axis else 0) for axis in range(array.ndim)]
            before, after = array.shape[:time_axis], array.shape[time_axis + 1 :]
            return jnp.pad(array, filling).reshape(*before, -1, segment, *after)

        seen = jax.tree.map(split, (inputs, mask, *others))
        segments = self._scan(nn.remat(steps, prevent_cse=False), time_axis)
        carry, outputs = segments(self.cell, carry, seen)
        outputs = outputs.reshape(*inputs.shape[:-2], -1, outputs.shape[-1])
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


def _expand(mask: jax.Array, ndim: int) -> jax.Array:
    return mask.reshape(*mask.shape, *(1,) * (ndim - mask.ndim))
