"""The state of an NTM, and functions that change it between two steps; see docs/memory.md.

N is the number of memory slots, M the slot width, R and W of read and write heads. Leading batch
axes come first.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax._checks import check_at_least

__all__ = ["NTMState", "enlarge_memory", "select_carry", "with_memory"]


class NTMState(NamedTuple):
    """State between two steps: the carry of `NTMCell`. Leading batch axes come first.

    Attributes:
      controller: the controller's carry; `()` for a feed-forward controller.
      memory: [N, M].
      read_weights: weightings of the read heads, [R, N], each on the simplex.
      write_weights: weightings of the write heads, [W, N], each on the simplex.
      read_vectors: read vectors of the previous step, [R, M].
      extra: what a memory access of one's own carries from step to step; `()` for that of the NTM.
    """

    controller: Any
    memory: jax.Array
    read_weights: jax.Array
    write_weights: jax.Array
    read_vectors: jax.Array
    extra: Any = ()


def with_memory(state: NTMState, memory: jax.Array) -> NTMState:
    """Returns the state with another memory, and with the read vectors that it gives.

    Args:
      state: the state.
      memory: [N, M] for all examples of the batch, or with the batch axes of the state.

    Returns:
      The state, with the dtypes of the given one; the controller's carry and the weightings are the
      same.

    Raises:
      ValueError: the memory does not have the shape of the state's.
    """
    shape = state.memory.shape
    if np.shape(memory) not in (shape, shape[-2:]):
        raise ValueError(f"memory: expected shape {shape[-2:]} or {shape}, got {np.shape(memory)}")
    memory = jnp.broadcast_to(jnp.asarray(memory, state.memory.dtype), shape)
    read_vectors = (state.read_weights @ memory).astype(state.read_vectors.dtype)
    return state._replace(memory=memory, read_vectors=read_vectors)


def enlarge_memory(state: NTMState, num_slots: int, value: float = 0.0) -> NTMState:
    """Returns the state with slots added after the last one; their weights are zero.

    Args:
      state: the state.
      num_slots: N of the new state, at least that of the given one.
      value: every element of the added slots.

    Raises:
      TypeError: `num_slots` is no integer.
      ValueError: the memory has more slots already.
    """
    added = num_slots - state.memory.shape[-2]
    check_at_least(state.memory.shape[-2], num_slots=num_slots)
    batch = [(0, 0)] * (state.memory.ndim - 2)
    slots, weights = [*batch, (0, added), (0, 0)], [*batch, (0, 0), (0, added)]
    return state._replace(
        memory=jnp.pad(state.memory, slots, constant_values=value),
        read_weights=jnp.pad(state.read_weights, weights),
        write_weights=jnp.pad(state.write_weights, weights),
    )


def select_carry(condition: jax.Array, carry: Any, other: Any) -> Any:
    """Returns for each example the one or the other carry.

    The gradient of the carry that is not selected is zero. To reset the memory of some examples in
    a loop of your own, select `initialize_carry` where an episode starts.

    Args:
      condition: boolean, with the batch axes of the carries.
      carry: the carry of examples where `condition` is true, with or without the batch axes.
      other: the carry of examples where it is false, of the same structure, with or without them.
    """

    def select(one: jax.Array, two: jax.Array) -> jax.Array:
        axes = range(condition.ndim, max(one.ndim, two.ndim))
        return jnp.where(jnp.expand_dims(condition, axes), one, two)

    return jax.tree.map(select, carry, other)
