"""Roofline of the NTM: the time of a program limited by arithmetic or by memory bandwidth alone.

    time = max(operations / rate of a matrix product, bytes / memory bandwidth)

Both rates are measured with the candidates. An operation is an addition, product, quotient or
function such as exp of float32 numbers. The count is a lower bound: every value of the equations is
computed once and stored. It leaves out sampling, activations of head parameters, the maxima in
softmax, the loss, the optimizer, and sums of gradients.

Letters: B batch, T time steps, I input features, O output features, H controller features, N memory
slots, M slot width, R read heads, W write heads, S allowed shifts, E ensemble members, and the size
K = (R + W) (M + S + 3) + 2 W M of the interface vector.

Forward, per time step and sequence:

- dense layer from a to b features, with bias: 2 a b. The controller has a = I + R M (LSTM: + H) and
  b = H (LSTM: 4 H); the interface goes from H to K, the output from H + R M to O.
- controller activations: H; LSTM 9 H (5 functions, 3 products and a sum per feature).
- equation 6: scalar products of keys and slots 2 (R + W) N M; norms of the slots 2 N M, once per
  memory, since write heads see the memory that read heads saw in the step before.
- equations 3 and 4: 5 N M per write head. Equation 2: 2 N M per read head.
- weightings: (13 + 2 S) N per head: 2 for the quotient of equation 6, 1 strength, 3 softmax,
  3 equation 7, 2 S - 1 equation 8, 5 equation 9.

Backward, in addition:

- dense layer: 2 a b for the kernel and 2 a b for its inputs, without the I inputs of the model.
- equation 2: 4 N M. Equation 6: 4 N M per head, and 2 N M for the norms.
- equations 3 and 4: 10 N M per write head.
- activations and weightings: twice their forward operations.

Bytes: 4 per number, each moved once. Training reads and writes parameters and optimizer state,
reads the batch, and writes the final state of each sequence. A forward pass reads the parameters
and one batch for all members, and writes the final states.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.speed.harness import Candidate

__all__ = ["BANDWIDTH", "MATRIX_RATE", "Count", "Sizes", "count", "probes", "seconds"]

MATRIX_RATE, BANDWIDTH = "matrix_rate", "memory_bandwidth"
_BYTES = 4


class Sizes(NamedTuple):
    """The sizes that the count depends on; the defaults are those of the benchmark.

    Attributes:
      controller: "feed_forward", one layer; or "lstm", one cell and a learned initial carry.
      optimizer_slots: optimizer state per parameter; 3 for centered RMSProp with momentum.
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
    optimizer_slots: int = 3

    @property
    def dense_layers(self) -> tuple[tuple[int, int], ...]:
        """Input and output features of the controller, the interface and the output layer."""
        reads, interface = self.R * self.M, (self.R + self.W) * (self.M + self.S + 3)
        inputs, gates = self.I + reads, 1
        if self.controller == "lstm":
            inputs, gates = inputs + self.H, 4
        interface += 2 * self.W * self.M
        return (inputs, gates * self.H), (self.H, interface), (self.H + reads, self.O)

    @property
    def num_params(self) -> int:
        """Kernels, biases, and the learned initial carry of an LSTM."""
        initial_carry = 2 * self.H if self.controller == "lstm" else 0
        return sum((a + 1) * b for a, b in self.dense_layers) + initial_carry


class Count(NamedTuple):
    """Operations and bytes moved by one training step or one forward pass of all members."""

    operations: int
    bytes: int


def count(sizes: Sizes, program: str) -> Count:
    """Counts operations and bytes of a program, "training" or "forward"."""
    s, training = sizes, program == "training"
    num_heads, memory = s.R + s.W, s.N * s.M
    dense = sum(2 * a * b for a, b in s.dense_layers)
    activations = s.H * (9 if s.controller == "lstm" else 1)
    weightings = num_heads * (13 + 2 * s.S) * s.N
    step = dense + activations + weightings + (2 * num_heads + 2 + 5 * s.W + 2 * s.R) * memory
    if training:
        step += 2 * dense - 2 * s.I * s.dense_layers[0][1]
        step += 2 * (activations + weightings)
        step += (4 * s.R + 4 * num_heads + 2 + 10 * s.W) * memory

    sequences = s.E * s.B
    numbers = s.E * s.num_params * (2 * (1 + s.optimizer_slots) if training else 1)
    numbers += (sequences if training else s.B) * s.T * (s.I + s.O + 1)
    carry = 2 * s.H if s.controller == "lstm" else 0
    numbers += sequences * (memory + num_heads * s.N + s.R * s.M + carry)
    return Count(sequences * s.T * step, _BYTES * numbers)


def seconds(count: Count, matrix_rate: float, bandwidth: float) -> float:
    """Returns the roofline, for these operations and bytes per second."""
    return max(count.operations / matrix_rate, count.bytes / bandwidth)


def probes(size: int | None = None) -> list[Candidate]:
    """Returns the candidates that measure both rates, on all devices at once.

    Args:
      size: n of the n x n matrices that are multiplied; 8 n^2 numbers are moved. None for a size
        that is large enough.
    """
    devices = jax.local_devices()
    size = size or (2048 if devices[0].platform == "cpu" else 8192)
    mesh = jax.make_mesh((len(devices),), ("device",), (jax.sharding.AxisType.Auto,))
    split = jax.NamedSharding(mesh, jax.P("device"))
    left = jax.device_put(jnp.ones((len(devices) * size, size)), split)
    right = jax.device_put(jnp.ones((size, size)), jax.NamedSharding(mesh, jax.P()))
    multiply = jax.jit(jnp.matmul, out_shardings=split)

    def run_product() -> tuple[float, float]:
        jax.block_until_ready(multiply(left, right))
        return 2.0 * len(devices) * size**3, 0.0

    x = jax.device_put(jnp.ones((len(devices), 8 * size**2)), split)
    y = jnp.copy(x)
    add = jax.jit(lambda x, y: x + 0.5 * y, donate_argnums=1)

    def run_add() -> tuple[float, float]:
        nonlocal y
        y = jax.block_until_ready(add(x, y))
        return 3.0 * _BYTES * x.size, 0.0  # reads x and y, writes y

    facts = {"devices": f"{len(devices)} x {devices[0].device_kind}", "size": size}
    return [Candidate(MATRIX_RATE, run_product, facts), Candidate(BANDWIDTH, run_add, facts)]
