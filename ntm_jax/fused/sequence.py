"""A Neural Turing Machine over a whole sequence in one kernel launch, forward and backward.

`models.NTM(cell, implementation="fused")` comes here. The results are those of the scan, in another
order of sums. What needs no loop over time is left to XLA, outside the kernels: the inputs' share
of the controller, the output layer, and the gradients of all parameters, each of which is one
product of what the kernels wrote. docs/fused.md has the design, what of it lies where on the chip,
and what has been verified.
"""

import functools
import logging
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax import heads
from ntm_jax.cell import NTMCell, NTMState
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.fused import launch
from ntm_jax.fused.arrays import Sizes, State, Steps, Weights, padded
from ntm_jax.fused.parts import without_padding

__all__ = ["fits", "run"]

# The largest sizes, made powers of two, that were compiled: a memory of 64 of the 256 KB of a
# multiprocessor's registers, and layers whose kernels go through the others.
_MAX_MEMORY = 512 * 32
_MAX_FEATURES = 128
_MAX_INTERFACE = 512


def fits(
    implementation: str,
    cell: NTMCell,
    carry: NTMState,
    inputs: jax.Array | jax.ShapeDtypeStruct,
    mask: jax.Array | None = None,
    recorded: bool = False,
    noisy: bool = False,
) -> bool:
    """Whether a sequence can be run by `run`; "auto" says in the log why not.

    Args:
      implementation: "fused" or "auto".
      cell: the machine.
      carry: its first state.
      inputs: [..., T, I].
      mask: of masked steps.
      recorded: the trace of every step is asked for.
      noisy: noise is to move the heads.

    Raises:
      ValueError: "fused", and it cannot.
    """
    why = _misfit(cell, carry, inputs, mask, recorded, noisy)
    backend = jax.default_backend()
    devices = ("gpu",) if implementation == "auto" else ("gpu", "cpu")
    if why is None and backend not in devices:
        why = f"device: expected one of {devices}, got {backend!r}"
    if why is not None and implementation == "fused":
        raise ValueError(f"implementation 'fused': {why}")
    if why is not None:
        _say(f"implementation 'auto' runs the scan: {why}")
    return why is None


@functools.cache
def _say(line: str) -> None:
    """Once a process: a model is traced many times."""
    logging.getLogger(__name__).warning(line)


def _misfit(
    cell: NTMCell,
    carry: NTMState,
    inputs: jax.Array,
    mask: jax.Array | None,
    recorded: bool,
    noisy: bool,
) -> str | None:
    """The first thing that the kernels are not written for."""
    controller = cell.controller
    if type(controller) is FeedForward:
        layers, features = len(controller.hidden_sizes), max(controller.hidden_sizes, default=0)
        if layers != 1 or controller.activation is not nn.tanh or controller.dropout_rate:
            return "controller: expected one hidden layer with tanh and no dropout, got another"
    elif type(controller) is LSTM:
        features = controller.features
    else:
        return f"controller: expected FeedForward or LSTM, got {type(controller).__name__}"
    num_slots, width = carry.memory.shape[-2:]
    sizes = cell.interface_sizes
    for name, value, most in (
        ("controller's features", padded(features), _MAX_FEATURES),
        ("memory", padded(num_slots) * padded(width), _MAX_MEMORY),
        ("interface", padded(heads.interface_size(*sizes) + 1), _MAX_INTERFACE),
    ):
        if value > most:
            return f"{name}: expected at most {most} numbers in powers of two, got {value}"
    if cell.dtype is not None or controller.dtype is not None:
        return f"dtype: expected None, got {(cell.dtype, controller.dtype)}"
    dtypes = sorted({str(leaf.dtype) for leaf in jax.tree.leaves((carry, inputs))})
    if dtypes != ["float32"]:
        return f"inputs and carry: expected float32, got {dtypes}"
    if not inputs.size:
        return f"inputs: expected at least one step, got shape {inputs.shape}"
    if mask is not None:
        return "mask: expected None, got one"
    if recorded:
        return "trace: expected that it is not asked for"
    if noisy:
        return "head_noise: expected 0 in training, got more"
    return None


def run(
    cell: NTMCell,
    params: Any,
    carry: NTMState,
    inputs: jax.Array,
    interpret: bool | None = None,
) -> tuple[NTMState, jax.Array]:
    """A sequence of every example, for what `fits`.

    Args:
      cell: the machine.
      params: of the cell.
      carry: the first state, leaves [..., sizes].
      inputs: [..., T, I].
      interpret: run the kernels by Pallas's interpreter; None does so on a CPU.

    Returns:
      The last state and the outputs, [..., T, O].
    """
    batch = inputs.shape[:-2]
    inputs = inputs.reshape(-1, *inputs.shape[-2:])
    count = len(inputs)
    carry = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[len(batch) :]), carry)
    features = params["interface"]["kernel"].shape[0]
    sizes = Sizes(
        carry.memory.shape[1],
        cell.num_read_heads,
        cell.num_write_heads,
        cell.slot_width,
        cell.max_shift,
        jax.default_backend() == "cpu" if interpret is None else interpret,
    )
    before, weights = _weights(sizes, params, inputs)
    hidden, reads, last = _sequence(sizes, before, weights, _padded_state(carry))

    hidden = hidden[..., :features]
    reads = reads[..., : cell.slot_width]
    if cell.output_from_reads:
        seen = jnp.concatenate([hidden, reads.reshape(*hidden.shape[:-1], -1)], axis=-1)
    else:
        seen = hidden
    outputs = seen @ params["output"]["kernel"] + params["output"]["bias"]
    if cell.output_activation is not None:
        outputs = cell.output_activation(outputs)

    every = last.weights[..., : sizes.num_slots]
    end = NTMState(
        controller=tuple(leaf[..., :features] for leaf in last.controller),
        memory=last.memory[:, : sizes.num_slots, : cell.slot_width],
        read_weights=every[:, : cell.num_read_heads],
        write_weights=every[:, cell.num_read_heads :],
        read_vectors=reads[:, -1],
    )
    restored = jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), end)
    return restored, outputs.reshape(*batch, *outputs.shape[1:])


def _weights(sizes: Sizes, params: Any, inputs: jax.Array) -> tuple[jax.Array, Weights]:
    """The inputs' share of the gates, [B, T, G, H], and what the kernels read; padded."""
    (layer,) = params["controller"].values()
    features = params["interface"]["kernel"].shape[0]
    rows = layer["kernel"].reshape(layer["kernel"].shape[0], -1, features)
    num_reads = sizes.num_read_heads * sizes.slot_width
    seen, reads, hidden = jnp.split(rows, [inputs.shape[-1], inputs.shape[-1] + num_reads])
    before = jnp.einsum("bti,igh->btgh", inputs, seen) + layer["bias"].reshape(-1, features)
    reads = reads.reshape(sizes.num_read_heads, sizes.slot_width, *rows.shape[1:])
    # One column more than there is, for what is written to no place.
    length = padded(params["interface"]["bias"].shape[0] + 1)
    weights = Weights(
        reads=_pad(jnp.moveaxis(reads, 2, 0), 2),
        hidden=_pad(jnp.moveaxis(hidden, 1, 0), 2) if len(hidden) else None,
        interface=_pad(params["interface"]["kernel"], 2, length),
        bias=_pad(params["interface"]["bias"], 1, length),
    )
    return _pad(before, 1), weights


def _padded_state(carry: NTMState) -> State:
    every = jnp.concatenate([carry.read_weights, carry.write_weights], axis=1)
    return State(
        jax.tree.map(lambda leaf: _pad(leaf, 1), tuple(carry.controller)),
        _pad(carry.memory, 2),
        _pad(every, 1),
        _pad(carry.read_vectors, 1),
    )


def _pad(array: jax.Array, num_axes: int, last: int | None = None) -> jax.Array:
    """Zeros behind the last axes, up to powers of two, the last up to `last` if that is given."""
    shape = [*array.shape[:-num_axes], *(padded(size) for size in array.shape[-num_axes:])]
    shape[-1] = last or shape[-1]
    return jnp.pad(array, [(0, size - old) for old, size in zip(array.shape, shape, strict=True)])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sequence(
    sizes: Sizes, before: jax.Array, weights: Weights, start: State
) -> tuple[jax.Array, jax.Array, State]:
    """Hidden features [B, T, H] and read vectors [B, T, R, M] of every step, and the last state."""
    return _results(*launch.forward(sizes, False, before, weights, start))


def _results(steps: Steps, states: State) -> tuple[jax.Array, jax.Array, State]:
    return steps.hidden, states.reads[:, 1:], jax.tree.map(lambda leaf: leaf[:, -1], states)


def _sequence_forward(
    sizes: Sizes, before: jax.Array, weights: Weights, start: State
) -> tuple[Any, Any]:
    steps, states = launch.forward(sizes, True, before, weights, start)
    return _results(steps, states), (weights, steps, states)


def _sequence_backward(sizes: Sizes, residuals: Any, gradients: Any) -> tuple:
    weights, steps, states = residuals
    of_gates, of_raw, of_start = launch.backward(sizes, weights, steps, states, *gradients)
    of_raw = without_padding(sizes, of_raw)
    hidden = None
    if weights.hidden is not None:
        hidden = jnp.einsum("btk,btgh->gkh", states.controller[1][:, :-1], of_gates)
    of_weights = Weights(
        reads=jnp.einsum("btrm,btgh->grmh", states.reads[:, :-1], of_gates),
        hidden=hidden,
        interface=jnp.einsum("bth,btc->hc", steps.hidden, of_raw),
        bias=jnp.sum(of_raw, axis=(0, 1)),
    )
    return of_gates, of_weights, of_start


_sequence.defvjp(_sequence_forward, _sequence_backward)
