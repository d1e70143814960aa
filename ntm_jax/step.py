"""One step of the machine without its controller, for one example: `jax.vmap` adds batches.

N is the number of memory slots, M the width of a slot, R and W are the numbers of read and write
heads.
"""

from typing import NamedTuple

import jax

from ntm_jax import addressing, heads, memory
from ntm_jax._shapes import check_shapes

__all__ = ["Step", "machine_step"]


class Step(NamedTuple):
    """One step as the trace shows it, in the collection "trace".

    Attributes:
      interface: what the controller said to the heads.
      memory: [N, M], after writing.
      read_weights: [R, N].
      write_weights: [W, N].
      read_vectors: [R, M].
    """

    interface: heads.Interface
    memory: jax.Array
    read_weights: jax.Array
    write_weights: jax.Array
    read_vectors: jax.Array


def machine_step(
    slots: jax.Array,
    read_weights: jax.Array,
    write_weights: jax.Array,
    interface: heads.Interface,
) -> Step:
    """What happens to the memory in one step, for one example: address, write, address, read.

    The read heads address the memory that the write heads have just left.

    Args:
      slots: the memory, [N, M].
      read_weights: last step's, [R, N].
      write_weights: last step's, [W, N].
      interface: what the controller emitted.

    Returns:
      The step's memory, weightings and read vectors.

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(
        slots=(slots, "NM"),
        read_weights=(read_weights, "RN"),
        write_weights=(write_weights, "WN"),
        read_keys=(interface.read.key, "RM"),
        write_keys=(interface.write.key, "WM"),
    )
    address = jax.vmap(addressing.address, in_axes=(None, 0, 0))
    write_weights = address(slots, write_weights, interface.write)
    slots = memory.write(slots, write_weights, interface.erase, interface.add)
    read_weights = address(slots, read_weights, interface.read)
    read_vectors = jax.vmap(memory.read, in_axes=(None, 0))(slots, read_weights)
    return Step(interface, slots, read_weights, write_weights, read_vectors)
