"""The kernels of `fused.kernels` launched over a batch, one program an example.

Letters are those of `fused.arrays`; B is the batch.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from ntm_jax.fused import kernels
from ntm_jax.fused.arrays import Sizes, State, Steps, Weights

__all__ = ["backward", "forward"]


def forward(
    sizes: Sizes, record: bool, before: jax.Array, weights: Weights, start: State
) -> tuple[Steps, State]:
    """Runs B sequences.

    Args:
      sizes: of the machine.
      record: keep the memory of every step, for `backward`.
      before: what the inputs and the biases give to the gates, [B, T, G, H].
      weights: the same for all examples.
      start: the first state, leaves [B, ...].

    Returns:
      The steps, leaves [B, T, ...]; the states before every step and after the last, leaves
      [B, T + 1, ...], but of the memory only the last, [B, 1, N, M], unless `record`.
    """
    batch, num_steps, _, features = before.shape
    steps = Steps(
        _floats(*before.shape),
        _floats(batch, num_steps, features),
        _floats(batch, num_steps, *weights.bias.shape),
        _floats(batch, num_steps, *start.weights.shape[1:]),
    )
    states = jax.tree.map(lambda leaf: _floats(batch, num_steps + 1, *leaf.shape[1:]), start)
    if not record:
        states = states._replace(memory=_floats(batch, 1, *start.memory.shape[1:]))
    kernel = functools.partial(kernels.forward, sizes, record)
    return _call(kernel, sizes, start.memory.shape, (before, start), weights, (steps, states))


def backward(
    sizes: Sizes,
    weights: Weights,
    steps: Steps,
    states: State,
    of_hidden: jax.Array,
    of_reads: jax.Array,
    of_last: State,
) -> tuple[jax.Array, jax.Array, State]:
    """Gradients of B sequences.

    Args:
      sizes: of the machine.
      weights: as for `forward`.
      steps: that `forward` returned.
      states: that `forward` recorded.
      of_hidden: gradient of the hidden features, [B, T, H].
      of_reads: of the read vectors after every step, [B, T, R, M].
      of_last: of the last state, leaves [B, ...].

    Returns:
      The gradients of the gates, [B, T, G, H]; of the raw interface vectors, [B, T, C], of which
      the padding holds anything; and of the first state.
    """
    given = steps, states, of_hidden, of_reads, of_last
    # The moved weightings' gradients are written only to be read back at other places.
    outputs = jax.tree.map(
        lambda leaf: _floats(*leaf.shape), (steps.gates, steps.raw, steps.gated, of_last)
    )
    kernel = functools.partial(kernels.backward, sizes)
    of_gates, of_raw, _, of_start = _call(
        kernel, sizes, of_last.memory.shape, given, weights, outputs
    )
    return of_gates, of_raw, of_start


def _num_warps(num_slots: int, slot_width: int) -> int:
    """Warps in which a thread holds 16 numbers of a memory of this size; at least 4, at most 16."""
    return min(max(num_slots * slot_width // (32 * 16), 4), 16)


def _call(
    kernel: functools.partial,
    sizes: Sizes,
    memory_shape: tuple[int, int, int],
    examples: tuple,
    weights: Weights,
    outputs: tuple,
) -> tuple:
    """The kernel on every example: leaves of `examples` and `outputs` are [B, ...]."""

    def example(leaf: Any) -> pl.BlockSpec:
        rest = leaf.shape[1:]
        return pl.BlockSpec((None, *rest), lambda index: (index, *(0 for _ in rest)))

    def whole(leaf: Any) -> pl.BlockSpec:
        return pl.BlockSpec(leaf.shape, lambda index: (0,) * leaf.ndim)

    params = None
    if not sizes.interpret:
        from jax.experimental.pallas import triton

        # One stage: no load of a later step begins before this step's barriers.
        params = triton.CompilerParams(num_warps=_num_warps(*memory_shape[1:]), num_stages=1)
    return pl.pallas_call(
        kernel,
        name=f"fused_{kernel.func.__name__}",
        grid=memory_shape[:1],
        in_specs=(jax.tree.map(example, examples), jax.tree.map(whole, weights)),
        out_specs=jax.tree.map(example, outputs),
        out_shape=outputs,
        interpret=sizes.interpret,
        compiler_params=params,
    )(examples, weights)


def _floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
