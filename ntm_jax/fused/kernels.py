"""The two kernels of `fused.launch`: one example's sequence, forward and backward.

The memory and the weightings are values of a loop over time: they stay in the registers of the
program from the first step to the last. What a step computes is written out as it goes, for the
backward pass, which reads it in reverse. Letters are those of `fused.arrays`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntm_jax import addressing, memory
from ntm_jax.addressing import AddressParameters
from ntm_jax.fused import parts
from ntm_jax.fused.arrays import Sizes, State, Steps, Weights
from ntm_jax.heads import Interface

__all__ = ["backward", "forward"]


def forward(
    sizes: Sizes, record: bool, examples: tuple, weights: Weights, steps: Steps, states: State
) -> None:
    """The sequence of one example; arguments are references, as in `fused.launch.forward`."""
    before, start = examples

    def address(
        time: jax.Array,
        slots: jax.Array,
        which: range,
        previous: Sequence[jax.Array],
        parameters: Sequence[AddressParameters],
    ) -> list[jax.Array]:
        """`addressing.address` of some heads; equation 8 is the product with the rolled copies."""
        exist = parts.existing(sizes, slots.shape[0])
        for head, emitted in zip(which, parameters, strict=True):
            steps.gated[time, head] = parts.gate(slots, previous[head], emitted, exist)
        parts.barrier(sizes)
        return [
            addressing.sharpen(
                parts.product(emitted.shift, parts.rolled(sizes, steps.gated, time, head)),
                emitted.sharpness,
                exist,
            )
            for head, emitted in zip(which, parameters, strict=True)
        ]

    def step(time: jax.Array, state: State) -> State:
        gates = tuple(
            before[time, index] + _from_last(weights, index, state)
            for index in range(before.shape[1])
        )
        controller, hidden = parts.control(state.controller, gates)
        raw = parts.product(hidden, weights.interface[...]) + weights.bias[...]
        _store((time,), (steps.gates, steps.hidden, steps.raw), (gates, hidden, raw))
        parts.barrier(sizes)
        interface = parts.in_range(parts.load_raw(sizes, steps.raw, time))

        writing = address(time, state.memory, sizes.write_heads, state.weights, interface.write)
        slots = parts.write(state.memory, writing, interface.erase, interface.add)
        reading = address(time, slots, sizes.read_heads, state.weights, interface.read)
        reads = tuple(parts.sums(memory.read)(slots, head) for head in reading)
        state = State(controller, slots, (*reading, *writing), reads)
        store(time + 1, state)
        return state

    def store(time: Any, state: State) -> None:
        if record:
            _store((time,), states, state)
        else:
            _store((time,), states._replace(memory=()), state._replace(memory=()))

    first = _load(start)
    store(0, first)
    last = jax.lax.fori_loop(0, before.shape[0], step, first)
    if not record:
        states.memory[0] = last.memory


def backward(
    sizes: Sizes,
    examples: tuple,
    weights: Weights,
    of_gates: Any,
    of_raw: Any,
    of_moved: Any,
    of_start: State,
) -> None:
    """The steps in reverse, each again by `jax.vjp` of its parts; as in `fused.launch.backward`."""
    steps, states, of_hidden, of_reads, of_last = examples
    num_steps, num_gates, _ = steps.gates.shape

    def address(
        time: jax.Array,
        slots: jax.Array,
        which: range,
        parameters: Sequence[AddressParameters],
        of_weights: Sequence[jax.Array],
    ) -> tuple[jax.Array, list[jax.Array], tuple[AddressParameters, ...]]:
        """From some heads' new weightings to the memory, the old ones and the parameters."""
        exist = parts.existing(sizes, slots.shape[0])
        sharpened = []
        for head, emitted, gradient in zip(which, parameters, of_weights, strict=True):
            rolled = parts.rolled(sizes, steps.gated, time, head)
            moved = parts.product(emitted.shift, rolled)
            back = jax.vjp(
                lambda moved, power: addressing.sharpen(moved, power, exist),
                moved,
                emitted.sharpness,
            )[1]
            gradient, of_sharpness = back(gradient)
            of_moved[time, head] = gradient
            sharpened.append((parts.product(rolled, gradient), of_sharpness))
        parts.barrier(sizes)
        of_slots, of_previous, of_parameters = jnp.zeros_like(slots), [], []
        for head, emitted, (of_shift, of_sharpness) in zip(
            which, parameters, sharpened, strict=True
        ):
            back = jax.vjp(
                lambda *given: parts.gate(*given, exist), slots, states.weights[time, head], emitted
            )[1]
            rolled = parts.rolled(sizes, of_moved, time, head, back=True)
            more, previous, gradient = back(parts.product(emitted.shift, rolled))
            of_slots += more
            of_previous.append(previous)
            of_parameters.append(gradient._replace(shift=of_shift, sharpness=of_sharpness))
        return of_slots, of_previous, tuple(of_parameters)

    def step(index: jax.Array, given: State) -> State:
        time = num_steps - 1 - index
        reading, writing = sizes.read_heads, sizes.write_heads
        interface, of_range = jax.vjp(parts.in_range, parts.load_raw(sizes, steps.raw, time))
        last_slots = states.memory[time]
        slots, of_write = jax.vjp(
            parts.write,
            last_slots,
            [states.weights[time + 1, head] for head in writing],
            list(interface.erase),
            list(interface.add),
        )
        of_slots, of_weights = given.memory, list(given.weights)
        for head in reading:
            of_read = jax.vjp(parts.sums(memory.read), slots, states.weights[time + 1, head])[1]
            more, gradient = of_read(given.reads[head] + of_reads[time, head])
            of_slots += more
            of_weights[head] += gradient
        more, of_last_reading, of_reading = address(
            time, slots, reading, interface.read, of_weights[: reading.stop]
        )
        of_slots, written, of_erase, of_add = of_write(of_slots + more)
        more, of_last_writing, of_writing = address(
            time,
            last_slots,
            writing,
            interface.write,
            [a + b for a, b in zip(of_weights[writing.start :], written, strict=True)],
        )
        (of_parts,) = of_range(Interface(of_reading, of_writing, tuple(of_erase), tuple(of_add)))
        parts.store_raw(sizes, of_raw, time, of_parts)
        parts.barrier(sizes)

        raw = parts.without_padding(sizes, of_raw[time])
        hidden = of_hidden[time] + parts.product(weights.interface[...], raw)
        _, of_control = jax.vjp(
            parts.control,
            tuple(ref[time] for ref in states.controller),
            tuple(steps.gates[time, index] for index in range(num_gates)),
        )
        controller, gates = of_control((given.controller, hidden))
        _store((time,), of_gates, gates)
        reads, carried = _of_last(weights, gates)
        if controller:
            controller = (controller[0], controller[1] + carried)
        return State(controller, of_slots + more, (*of_last_reading, *of_last_writing), reads)

    first = jax.lax.fori_loop(0, num_steps, step, _load(of_last))
    _store((), of_start, first)


def _from_last(weights: Weights, index: int, state: State) -> jax.Array:
    """What the last step gives to one of the gates, [H]."""
    given = sum(
        parts.product(vector, weights.reads[index, head]) for head, vector in enumerate(state.reads)
    )
    if weights.hidden is not None:
        given += parts.product(state.controller[1], weights.hidden[index])
    return given


def _of_last(
    weights: Weights, gates: tuple[jax.Array, ...]
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    """From the gradients of the gates to those of the last read vectors and hidden features."""
    reads = tuple(
        sum(parts.product(weights.reads[index, head], value) for index, value in enumerate(gates))
        for head in range(weights.reads.shape[1])
    )
    if weights.hidden is None:
        return reads, None
    return reads, sum(
        parts.product(weights.hidden[index], value) for index, value in enumerate(gates)
    )


def _load(state: State) -> State:
    """A first state as values, with a tuple of vectors where there are heads."""
    return State(
        tuple(ref[...] for ref in state.controller),
        state.memory[...],
        tuple(state.weights[head] for head in range(state.weights.shape[0])),
        tuple(state.reads[head] for head in range(state.reads.shape[0])),
    )


def _store(at: tuple, refs: Any, values: Any) -> None:
    """Writes every value at an index of its array; a tuple of them along the array's next axis."""
    if isinstance(refs, tuple):
        for ref, value in zip(refs, values, strict=True):
            _store(at, ref, value)
    elif isinstance(values, tuple):
        for index, value in enumerate(values):
            refs[(*at, index)] = value
    else:
        refs[at or ...] = values
