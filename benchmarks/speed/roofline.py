"""The limit: what a machine needs for one update if nothing but arithmetic or memory takes time.

    limit = max(operations / matrix rate, bytes / memory bandwidth)

Both rates are measured beside the contestants; the limit over the time that was taken is the score.
An operation is an addition, a product, a quotient or a function such as exp of float32 numbers.
Counted is what the equations need, each value computed once and kept, nothing recomputed. What is
left out would raise the limit and the score: sampling, the ranges of the interface, the maxima that
keep a softmax finite, the loss, the optimizer's arithmetic, gradients being added up.

Letters as everywhere: E seeds, B batch, T steps, I inputs, O outputs, H units, N slots, M width,
R and W heads, S shifts; K = (R + W)(M + S + 3) + 2 W M numbers of interface.

**Forward, one step of one sequence**

- A dense layer from a to b: a b products and, the bias being the first of them, a b sums: 2 a b.
  Controller: a = I + R M, and H more for an LSTM; b = H, or 4 H for an LSTM's gates. Interface:
  H to K. Output: H + R M to O.
- The controller's functions: H; for an LSTM 5 H functions, 3 H products, H sums: 9 H.
- Equation 6: a scalar product of each slot with each head's key, 2 (R + W) N M; the slots' lengths,
  2 N M, once for each memory: those that the read heads see, the write heads see in the next step.
- Equations 3 and 4 for a write head: w e, 1 - w e, its product with the memory, w a, its sum with
  the memory: 5 N M.
- Equation 2 for a read head: 2 N M.
- A weighting, N numbers each: quotient of equation 6 with its lengths' product 2; strength 1;
  softmax 3 (exp, sum, quotient); equation 7: 3; equation 8: 2 S - 1; equation 9: 5 (log, product,
  exp, sum, quotient). Together (13 + 2 S) N a head.

**Backward**

- A dense layer: 2 a b for the gradient of the kernel, 2 a b for that of what it saw; without the
  second for the I inputs, which nothing asks for.
- Equation 2: the weighting's gradient 2 N M, the memory's 2 N M with its being added up.
- Equation 6: the key's 2 N M, the memory's 2 N M, a head; the lengths' 2 N M once.
- Equation 4: the weighting's 2 N M, the vector's 2 N M. Equation 3: the erased memory's gradient
  times 1 - w e, which was kept, and times the memory, 2 N M; of the second the weighting's 2 N M
  and the vector's 2 N M. Together 10 N M a write head.
- The controller's functions and the weightings: twice their forward operations.

**Bytes**, 4 a number, each moved once, as if all between them stayed on the chip. Training reads
and writes the parameters and, for each, the optimizer's numbers; a batch is read: inputs, targets
and mask; the state at the end of each sequence is written. A forward pass reads the parameters once
and one batch for all seeds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.speed.rounds import Contestant

__all__ = ["BANDWIDTH", "MATRIX_RATE", "Count", "Sizes", "count", "probes", "seconds"]

MATRIX_RATE, BANDWIDTH = "matrix rate", "memory bandwidth"
_BYTES = 4


class Sizes(NamedTuple):
    """What the count depends on, by the letters above; the defaults are the benchmark's.

    Attributes:
      controller: "feed_forward", of one layer, or "lstm", of one cell with a learned start.
      kept: numbers that the optimizer keeps for a parameter; 3 for centered RMSProp with momentum.
    """

    controller: str
    B: int
    E: int = 1
    T: int = 41
    I: int = 9  # noqa: E741
    O: int = 8  # noqa: E741
    H: int = 100
    N: int = 128
    M: int = 20
    R: int = 1
    W: int = 1
    S: int = 3
    kept: int = 3

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each dense layer: controller, interface, output."""
        reads = self.R * self.M
        interface = (self.R + self.W) * (self.M + self.S + 3) + 2 * self.W * self.M
        seen, gates = self.I + reads, 1
        if self.controller == "lstm":
            seen, gates = seen + self.H, 4
        return (seen, gates * self.H), (self.H, interface), (self.H + reads, self.O)

    @property
    def num_params(self) -> int:
        """Kernels and biases, and an LSTM's learned start."""
        start = 2 * self.H if self.controller == "lstm" else 0
        return sum((seen + 1) * said for seen, said in self.layers) + start


class Count(NamedTuple):
    """What one update or one forward pass of E batches takes.

    Attributes:
      operations: on numbers.
      bytes: moved.
    """

    operations: int
    bytes: int


def count(sizes: Sizes, work: str) -> Count:
    """Operations and bytes, as the docstring of this module counts them.

    Args:
      sizes: of the machine and its batch.
      work: "training" for an update, "forward".

    Returns:
      The count.
    """
    s, training = sizes, work == "training"
    heads, cells = s.R + s.W, s.N * s.M
    dense = sum(2 * seen * said for seen, said in s.layers)
    functions = s.H * (9 if s.controller == "lstm" else 1)
    weightings = heads * (13 + 2 * s.S) * s.N
    step = dense + functions + weightings + (2 * heads + 2 + 5 * s.W + 2 * s.R) * cells
    if training:
        step += 2 * dense - 2 * s.I * s.layers[0][1]
        step += 2 * (functions + weightings)
        step += (4 * s.R + 4 * heads + 2 + 10 * s.W) * cells

    sequences = s.E * s.B
    moved = s.E * s.num_params * (2 * (1 + s.kept) if training else 1)
    moved += (sequences if training else s.B) * s.T * (s.I + s.O + 1)
    controller = 2 * s.H if s.controller == "lstm" else 0
    moved += sequences * (cells + heads * s.N + s.R * s.M + controller)
    return Count(sequences * s.T * step, _BYTES * moved)


def seconds(count: Count, matrix_rate: float, bandwidth: float) -> float:
    """The limit, from operations and bytes a second."""
    return max(count.operations / matrix_rate, count.bytes / bandwidth)


def probes(size: int | None = None) -> list[Contestant]:
    """What measures the two rates, on all devices at once, each with as much of the work.

    Args:
      size: n of the matrices; None for what is large enough on these devices.

    Returns:
      A product of n x n float32 matrices, which does operations; and y = x + y / 2, in place, with
      8 n^2 numbers in each, which moves three numbers of bytes for each of them.
    """
    devices: Sequence[Any] = jax.local_devices()
    size = size or (2048 if devices[0].platform == "cpu" else 8192)
    mesh = jax.make_mesh((len(devices),), ("device",), (jax.sharding.AxisType.Auto,))
    split = jax.NamedSharding(mesh, jax.P("device"))
    whole = jax.NamedSharding(mesh, jax.P())

    left = jax.device_put(jnp.ones((len(devices) * size, size)), split)
    right = jax.device_put(jnp.ones((size, size)), whole)
    multiply = jax.jit(jnp.matmul, out_shardings=split)

    def product() -> tuple[float, float]:
        jax.block_until_ready(multiply(left, right))
        return 2.0 * len(devices) * size**3, 0.0

    x = jax.device_put(jnp.ones((len(devices), 8 * size**2)), split)
    y = jnp.copy(x)
    add = jax.jit(lambda x, y: x + 0.5 * y, donate_argnums=1)

    def move() -> tuple[float, float]:
        nonlocal y
        y = jax.block_until_ready(add(x, y))
        return 3.0 * _BYTES * x.size, 0.0

    about = {"devices": f"{len(devices)} x {devices[0].device_kind}", "size": size}
    return [Contestant(MATRIX_RATE, product, about), Contestant(BANDWIDTH, move, about)]
