"""The parts of a step inside the kernels of `fused.kernels`; letters are those of `fused.arrays`.

Every equation is the library's own function. Triton's products begin at 16x16, so that those of
one example become sums (`sums`). It has no slices and no rolls of values, so that a vector is cut
up, or turned by a few slots, on its way through global memory: written, a barrier, read elsewhere.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ntm_jax import addressing, controllers, heads, memory
from ntm_jax.addressing import AddressParameters
from ntm_jax.fused.arrays import Sizes, padded

__all__ = [
    "barrier",
    "control",
    "existing",
    "gate",
    "in_range",
    "load_raw",
    "product",
    "rolled",
    "store_raw",
    "sums",
    "without_padding",
    "write",
]

# A raw shift that is padding: the softmax leaves nothing of it.
_NO_SHIFT = -1e30


def sums(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its matrix products `a @ b` as sums of products of numbers."""

    def summed(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        closed, shape = jax.make_jaxpr(
            lambda *leaves: function(*tree.unflatten(leaves)), return_shape=True
        )(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), _evaluate(closed, leaves))

    return summed


def _evaluate(closed: core.ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    jaxpr = closed.jaxpr
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [value(atom) for atom in equation.invars]
        if equation.primitive is jax.lax.dot_general_p:
            results = [_sum_of_products(*operands, equation.params["dimension_numbers"])]
        elif "jaxpr" in equation.params:  # a function under jit
            results = _evaluate(equation.params["jaxpr"], operands)
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _sum_of_products(a: jax.Array, b: jax.Array, dimension_numbers: Any) -> jax.Array:
    assert dimension_numbers == (((a.ndim - 1,), (0,)), ((), ())), dimension_numbers
    axis = a.ndim - 1
    products = jnp.expand_dims(a, tuple(range(a.ndim, a.ndim + b.ndim - 1))) * b
    return jnp.squeeze(products, axis) if b.shape[0] == 1 else jnp.sum(products, axis)


# Of a vector and a matrix, or of a matrix and a vector.
product = sums(jnp.matmul)


def control(carry: tuple, gates: tuple[jax.Array, ...]) -> tuple[tuple, jax.Array]:
    """The controller, once its gates are known: the next carry and the hidden features, [H]."""
    if len(gates) == 1:
        return (), nn.tanh(*gates)
    carry = controllers.lstm_step(carry[0], *gates)
    return carry, carry[1]


def gate(
    slots: jax.Array, previous: jax.Array, emitted: AddressParameters, exist: jax.Array | None
) -> jax.Array:
    """One head's weighting by equations 5 to 7, [N]."""
    similarity = sums(addressing.cosine_similarity)(emitted.key, slots)
    content = addressing.similarity_weights(similarity, emitted.strength, exist)
    return addressing.interpolate(content, previous, emitted.gate)


def write(
    slots: jax.Array,
    weights: Sequence[jax.Array],
    erase_vectors: Sequence[jax.Array],
    add_vectors: Sequence[jax.Array],
) -> jax.Array:
    """`memory.write` of vectors that are not stacked: every erase, then every add."""
    for head_weights, vector in zip(weights, erase_vectors, strict=True):
        slots = sums(memory.erase)(slots, head_weights, vector)
    for head_weights, vector in zip(weights, add_vectors, strict=True):
        slots = sums(memory.add)(slots, head_weights, vector)
    return slots


def in_range(raw: heads.Interface) -> heads.Interface:
    """What `heads.split_interface` makes of the raw parts; here each part has a tuple of heads."""
    return heads.Interface(
        read=tuple(heads.address_in_range(head) for head in raw.read),
        write=tuple(heads.address_in_range(head) for head in raw.write),
        erase=tuple(heads.erase_in_range(vector) for vector in raw.erase),
        add=raw.add,
    )


def existing(sizes: Sizes, num_slots: int) -> jax.Array | None:
    """Which slots are no padding, [N]; None if all of them."""
    return None if num_slots == sizes.num_slots else _lanes(num_slots) < sizes.num_slots


def load_raw(sizes: Sizes, ref: Any, time: jax.Array) -> heads.Interface:
    """The parts of a step's raw vector, `ref` [T, C], each with a tuple of heads."""

    def load(places: np.ndarray, padding: float = 0.0) -> jax.Array:
        if not places.ndim:
            return ref[time, int(places)]
        lanes, exist = _of_part(places)
        return jnp.where(exist, ref[time, jnp.where(exist, lanes + places[0], 0)], padding)

    def address(places: AddressParameters) -> AddressParameters:
        loaded = AddressParameters(*(load(part) for part in places))
        return loaded._replace(shift=load(places.shift, _NO_SHIFT))

    places = _places(sizes)
    return heads.Interface(
        *(tuple(address(head) for head in part) for part in (places.read, places.write)),
        *(tuple(load(vector) for vector in part) for part in (places.erase, places.add)),
    )


def store_raw(sizes: Sizes, ref: Any, time: jax.Array, parts: heads.Interface) -> None:
    """The way back of `load_raw`; what lies behind the parts holds anything afterwards."""

    def store(places: np.ndarray, value: jax.Array) -> None:
        if not places.ndim:
            ref[time, int(places)] = value
            return
        lanes, exist = _of_part(places)
        ref[time, jnp.where(exist, lanes + places[0], ref.shape[1] - 1)] = value

    jax.tree.map(store, _places(sizes), parts)


def without_padding(sizes: Sizes, raw: jax.Array) -> jax.Array:
    """A raw vector, [..., C], with zeros behind its parts."""
    exist = _lanes(raw.shape[-1]) < sizes.interface_size
    return jnp.where(exist, raw, 0.0)


def rolled(sizes: Sizes, ref: Any, time: jax.Array, head: int, back: bool = False) -> jax.Array:
    """A head's numbers moved round the ring of slots, by every shift at once.

    Args:
      sizes: of the machine.
      ref: [T, K, N], written before the last barrier.
      time: the step.
      head: which of the K.
      back: against the shifts.

    Returns:
      The moved numbers, [S, N], S padded; equation 8 is the product of the shift weights with them.
    """
    num_shifts = 2 * sizes.max_shift + 1
    shape = padded(num_shifts), ref.shape[2]
    slot = jax.lax.broadcasted_iota(jnp.int32, shape, 1)
    offset = jax.lax.broadcasted_iota(jnp.int32, shape, 0) - sizes.max_shift
    place = slot + offset if back else slot - offset
    # Several rounds on, for a remainder of positive numbers.
    return ref[time, head, jax.lax.rem(place + 2 * num_shifts * sizes.num_slots, sizes.num_slots)]


def barrier(sizes: Sizes) -> None:
    """Lets every thread of the program see what the others wrote."""
    if not sizes.interpret:
        from jax.experimental.pallas import triton

        triton.debug_barrier()


@functools.cache
def _places(sizes: Sizes) -> heads.Interface:
    """Where in the raw vector the parts of every head lie."""
    length = sizes.interface_size
    with jax.ensure_compile_time_eval():
        places = heads.split_raw(np.arange(length, dtype=np.int32), *sizes.interface)
        places = jax.tree.map(np.asarray, places)

    def of_heads(part: AddressParameters) -> tuple[AddressParameters, ...]:
        return tuple(AddressParameters(*head) for head in zip(*part, strict=True))

    return heads.Interface(
        of_heads(places.read), of_heads(places.write), tuple(places.erase), tuple(places.add)
    )


def _of_part(places: np.ndarray) -> tuple[jax.Array, jax.Array]:
    lanes = _lanes(padded(len(places)))
    return lanes, lanes < len(places)


def _lanes(size: int) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.int32, (size,), 0)
