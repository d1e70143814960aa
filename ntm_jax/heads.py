"""From the controller's raw interface vector to the paper's quantities, each inside its range.

R and W are the numbers of read and write heads, M the slot width, S the number of allowed shifts.
A read head needs M + S + 3 numbers (key, strength, gate, sharpness, shift), a write head 2 M more
(erase and add vectors).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.addressing import AddressParameters

__all__ = [
    "Interface",
    "address_in_range",
    "erase_in_range",
    "interface_bias",
    "interface_size",
    "is_vector",
    "keys_as_added",
    "movement_noise",
    "split_interface",
    "split_raw",
]


class Interface(NamedTuple):
    """All that the controller says to the memory in one step.

    Attributes:
      read: address parameters of the read heads, each with a leading axis R.
      write: address parameters of the write heads, each with a leading axis W.
      erase: e, [W, M], in (0, 1).
      add: a, [W, M].
    """

    read: AddressParameters
    write: AddressParameters
    erase: jax.Array
    add: jax.Array


def interface_size(
    num_read_heads: int, num_write_heads: int, slot_width: int, max_shift: int
) -> int:
    """Length of the raw interface vector."""
    address_size = _address_size(slot_width, max_shift)
    return num_read_heads * address_size + num_write_heads * (address_size + 2 * slot_width)


def split_interface(
    raw: jax.Array, num_read_heads: int, num_write_heads: int, slot_width: int, max_shift: int
) -> Interface:
    """Names the parts of the raw vector and brings each into its range (sections 3.2, 3.3).

    Args:
      raw: [..., interface_size(...)], any real numbers.
      num_read_heads: R.
      num_write_heads: W.
      slot_width: M.
      max_shift: the farthest a head moves in one step; S = 2 max_shift + 1.

    Returns:
      The interface; leading axes of `raw` come before R and W.

    Raises:
      ValueError: `raw` has another length than the sizes need.
    """
    parts = split_raw(raw, num_read_heads, num_write_heads, slot_width, max_shift)
    return Interface(
        read=address_in_range(parts.read),
        write=address_in_range(parts.write),
        erase=erase_in_range(parts.erase),
        add=parts.add,
    )


def split_raw(
    raw: jax.Array, num_read_heads: int, num_write_heads: int, slot_width: int, max_shift: int
) -> Interface:
    """`split_interface` without the ranges: the raw numbers under the names of their parts."""
    expected = interface_size(num_read_heads, num_write_heads, slot_width, max_shift)
    if raw.shape[-1] != expected:
        raise ValueError(f"raw: expected {expected} interface values, got {raw.shape[-1]}")
    num_heads = num_read_heads + num_write_heads
    address_size = _address_size(slot_width, max_shift)
    addresses, erase, add = jnp.split(
        raw,
        np.cumsum([num_heads * address_size, num_write_heads * slot_width]),
        axis=-1,
    )
    addresses = addresses.reshape(*raw.shape[:-1], num_heads, address_size)
    read, write = jnp.split(addresses, [num_read_heads], axis=-2)
    erase = erase.reshape(*raw.shape[:-1], num_write_heads, slot_width)
    add = add.reshape(*raw.shape[:-1], num_write_heads, slot_width)
    return Interface(
        read=_address_parameters(read, slot_width),
        write=_address_parameters(write, slot_width),
        erase=erase,
        add=add,
    )


def address_in_range(raw: AddressParameters) -> AddressParameters:
    """Raw address parameters brought into their ranges (section 3.3)."""
    return AddressParameters(
        key=raw.key,
        strength=jax.nn.softplus(raw.strength),
        gate=jax.nn.sigmoid(raw.gate),
        shift=jax.nn.softmax(raw.shift),
        sharpness=1.0 + jax.nn.softplus(raw.sharpness),
    )


def erase_in_range(raw: jax.Array) -> jax.Array:
    """Raw erase vectors brought into (0, 1) (section 3.2)."""
    return jax.nn.sigmoid(raw)


def interface_bias(
    num_read_heads: int,
    num_write_heads: int,
    slot_width: int,
    max_shift: int,
    strength: float = 0.0,
    gate: float = 0.0,
    sharpness: float = 0.0,
    shift: float = 0.0,
    read_gates: Sequence[float] = (),
) -> np.ndarray:
    """Initial bias of the raw vector: what every head does before it has learned anything.

    Args:
      num_read_heads: R.
      num_write_heads: W.
      slot_width: M.
      max_shift: the farthest a head moves in one step.
      strength: raw bias of beta = softplus(.).
      gate: raw bias of g = sigmoid(.); negative follows the previous weighting.
      sharpness: raw bias of gamma = 1 + softplus(.).
      shift: raw bias of moving one slot up, against every other shift, in the softmax of s.
      read_gates: those of the first read heads' gates, if they are others.

    Returns:
      [interface_size(...)], float32.
    """
    shifts = np.zeros(2 * max_shift + 1)
    if max_shift > 0:
        shifts[max_shift + 1] = shift

    def head(gate: float) -> np.ndarray:
        return np.concatenate([np.zeros(slot_width), [strength, gate, sharpness], shifts])

    gates = [*read_gates, *[gate] * (num_read_heads + num_write_heads - len(read_gates))]
    vectors = np.zeros(2 * num_write_heads * slot_width)
    return np.concatenate([*map(head, gates), vectors]).astype(np.float32)


def movement_noise(
    rng: jax.Array,
    shape: tuple[int, ...],
    num_read_heads: int,
    num_write_heads: int,
    slot_width: int,
    max_shift: int,
) -> jax.Array:
    """Normal noise of deviation 1 for the raw values that move the heads; 0 for the vectors.

    Args:
      rng: a JAX random key.
      shape: of how many draws.
      num_read_heads: R.
      num_write_heads: W.
      slot_width: M.
      max_shift: the farthest a head moves in one step.

    Returns:
      [*shape, interface_size(...)], float32.
    """
    sizes = num_read_heads, num_write_heads, slot_width, max_shift
    moving = ~is_vector(*sizes)
    drawn = jax.random.normal(rng, (*shape, int(moving.sum())))
    return jnp.zeros((*shape, moving.size)).at[..., moving].set(drawn)


def is_vector(
    num_read_heads: int, num_write_heads: int, slot_width: int, max_shift: int
) -> np.ndarray:
    """Which raw values are parts of a key, an erase or an add vector; the others move the heads.

    Returns:
      [interface_size(...)], boolean.
    """
    head = np.arange(_address_size(slot_width, max_shift)) < slot_width
    heads = np.tile(head, num_read_heads + num_write_heads)
    return np.concatenate([heads, np.ones(2 * num_write_heads * slot_width, bool)])


def keys_as_added(
    kernel: jax.Array,
    num_read_heads: int,
    num_write_heads: int,
    slot_width: int,
    max_shift: int,
    count: int,
) -> jax.Array:
    """The kernel of the raw vector, some read heads' keys being what the first write head adds.

    Args:
      kernel: [features, interface_size(...)].
      num_read_heads: R.
      num_write_heads: W.
      slot_width: M.
      max_shift: the farthest a head moves in one step.
      count: of the first read heads, at most R.

    Returns:
      The kernel, of the same shape.
    """
    sizes = num_read_heads, num_write_heads, slot_width, max_shift
    places = split_raw(jnp.arange(interface_size(*sizes)), *sizes)
    return kernel.at[:, places.read.key[:count]].set(kernel[:, None, places.add[0]])


def _address_size(slot_width: int, max_shift: int) -> int:
    """Key, strength, gate, sharpness and the 2 max_shift + 1 shifts of one head."""
    return slot_width + 3 + 2 * max_shift + 1


def _address_parameters(raw: jax.Array, slot_width: int) -> AddressParameters:
    key, strength, gate, sharpness, shift = jnp.split(
        raw, np.cumsum([slot_width, 1, 1, 1]), axis=-1
    )
    return AddressParameters(
        key=key,
        strength=strength[..., 0],
        gate=gate[..., 0],
        shift=shift,
        sharpness=sharpness[..., 0],
    )
