"""The Neural Turing Machine as a recurrent cell, to stand where an LSTM cell stood.

    cell = NTMCell(features=8, controller=FeedForward((100,)))
    carry = cell.initialize_carry(key, inputs.shape)            # inputs [B, I]
    variables = cell.init(key, carry, inputs)
    carry, outputs = cell.apply(variables, carry, inputs)       # outputs [B, 8]

`flax.linen.RNN(cell)`, `nn.scan`, `jax.vmap` and `jax.grad` drive it like any other Flax cell.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax import heads
from ntm_jax.initializers import Initializer, marked_memory, one_hot_weights, uniform_weights
from ntm_jax.step import Step, machine_step

__all__ = [
    "NTMCell",
    "NTMState",
    "Step",
    "machine_step",
    "marked_memory",
    "one_hot_weights",
    "uniform_weights",
]


# Raw gate of read heads that start by content. They are to follow what they found as well: with
# 2.0, which leaves the last place 12 %, fewer seeds learn associative recall.
_CONTENT_GATE = 1.0


class NTMState(NamedTuple):
    """What the machine carries from one step to the next. Leading batch axes come first.

    Attributes:
      controller: the controller's own carry; `()` for a feed-forward one.
      memory: [N, M].
      read_weights: [R, N], each row on the simplex.
      write_weights: [W, N], each row on the simplex.
      read_vectors: [R, M], what was read in the last step.
    """

    controller: Any
    memory: jax.Array
    read_weights: jax.Array
    write_weights: jax.Array
    read_vectors: jax.Array


class NTMCell(nn.RNNCellBase):
    """Neural Turing Machine cell: `(carry, inputs) -> (carry, outputs)`.

    No parameter's shape depends on the number of slots: weights trained with 128 run with 1,024.

    The default start is an empty memory, a mark in slot 0 and all heads on it, as on a tape whose
    left end is marked: nothing tells two other slots apart but their distance from the heads, so
    what is learned about one place is learned about all. The mark is what a read head can hold
    on to by content until the answer begins, or let go and return to, as the paper's own machine
    does; in a memory of any size, because slots of zeros are similar to nothing. Without it,
    machines were left that took a vector of zeros among the inputs for the silence of the answer.

    A key strength that starts high (10) finds a vector again in a memory that is full of others,
    which the short sequences of training do not ask for and so do not teach. A gate that starts
    nearly closed (-3: 5 % content), a sharpness that starts above one and shifts that start upwards
    make walking along the slots, like the head of a tape, what a head does before it has learned
    anything. What moves the heads starts from these biases alone, with a kernel of zero: a head
    whose steps hang on what is seen and read, as a random kernel would have it, walks well enough
    for the trained lengths and strays beyond them.

    The first `content_reads` read heads start the other way, as on a memory that is asked for what
    is in it: their gates are mostly open, and they look for what the first write head would add, so
    that what is seen is found where it was written before, and moving on, what came after it. A
    machine whose read heads all walk behind its write head reads what it has just written, and may
    take long to learn that there is more.

    Attributes:
      features: O, size of the output.
      controller: any RNN cell; it sees the inputs and the last read vectors.
      num_slots: N.
      slot_width: M.
      num_read_heads: R.
      num_write_heads: W.
      max_shift: the farthest a head moves in one step.
      memory_init: initial memory, called with a key and (N, M).
      weights_init: first weightings, called with a key and (heads, N).
      strength_bias: initial raw bias of the key strengths, beta = softplus(.).
      gate_bias: initial raw bias of the gates, g = sigmoid(.).
      sharpness_bias: initial raw bias of the sharpness, gamma = 1 + softplus(.).
      shift_bias: initial raw bias of moving one slot up, against each other shift.
      content_reads: so many read heads, the first, start by content, not by their last place: with
        gates of 73 % content in place of `gate_bias`, and keys that are what the first write head
        adds.
      output_from_reads: the output sees the new read vectors beside the controller's output.
      output_activation: applied to the output; None leaves logits.
      dtype: of the dense layers, such as bfloat16; memory and parameters are float32.

    Raises:
      ValueError: a size out of its range.
    """

    features: int
    controller: nn.RNNCellBase
    num_slots: int = 128
    slot_width: int = 20
    num_read_heads: int = 1
    num_write_heads: int = 1
    max_shift: int = 1
    memory_init: Initializer = marked_memory()
    weights_init: Initializer = one_hot_weights
    strength_bias: float = 10.0
    gate_bias: float = -3.0
    sharpness_bias: float = 1.0
    shift_bias: float = 2.0
    content_reads: int = 0
    output_from_reads: bool = True
    output_activation: Callable[[jax.Array], jax.Array] | None = None
    dtype: Any = None

    def __post_init__(self) -> None:
        """Checks the sizes."""
        super().__post_init__()
        for name in ("features", "num_slots", "slot_width", "num_read_heads", "num_write_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.max_shift < 0:
            raise ValueError(f"max_shift: expected at least 0, got {self.max_shift}")
        if not 0 <= self.content_reads <= self.num_read_heads:
            raise ValueError(
                f"content_reads: expected 0 to {self.num_read_heads}, the number of read heads, "
                f"got {self.content_reads}"
            )

    @nn.compact
    def __call__(
        self, carry: NTMState, inputs: jax.Array, noise: jax.Array | None = None
    ) -> tuple[NTMState, jax.Array]:
        """One step.

        Args:
          carry: the state left by the step before, or by `initialize_carry`.
          inputs: [..., I], with any leading batch axes, the same as the carry's.
          noise: added to what the controller says to the heads, before their ranges are seen to;
            [..., `heads.interface_size`], with leading axes that broadcast. None is none.

        Returns:
          The next state and the outputs, [..., O].

        Raises:
          ValueError: the carry is one of other sizes or another batch.
        """
        reads_shape = (*inputs.shape[:-1], self.num_read_heads, self.slot_width)
        if carry.read_vectors.shape != reads_shape:
            raise ValueError(
                f"carry: expected read vectors of shape {reads_shape} for inputs of shape "
                f"{inputs.shape}, got {carry.read_vectors.shape}"
            )
        for name in ("memory", "read_weights", "write_weights"):
            shape = getattr(carry, name).shape
            if len(shape) != inputs.ndim + 1 or shape[:-2] != inputs.shape[:-1]:
                raise ValueError(
                    f"carry: expected {name} with the batch axes {inputs.shape[:-1]} of the "
                    f"inputs and two more, got shape {shape}"
                )
        sizes = self.interface_sizes
        last_reads = carry.read_vectors.reshape(*inputs.shape[:-1], -1)
        seen = jnp.concatenate([inputs, last_reads.astype(inputs.dtype)], axis=-1)
        controller_carry, hidden = self.controller(carry.controller, seen)

        def kernel_init(*args: Any) -> jax.Array:
            kernel = nn.linear.default_kernel_init(*args)
            kernel = jnp.where(heads.is_vector(*sizes), kernel, 0.0)
            if not self.content_reads:
                return kernel
            return heads.keys_as_added(kernel, *sizes, self.content_reads)

        biases = self.strength_bias, self.gate_bias, self.sharpness_bias, self.shift_bias
        bias = heads.interface_bias(*sizes, *biases, [_CONTENT_GATE] * self.content_reads)
        raw = nn.Dense(
            heads.interface_size(*sizes),
            kernel_init=kernel_init,
            bias_init=lambda key, shape, dtype: jnp.asarray(bias, dtype),
            dtype=self.dtype,
            name="interface",
        )(hidden)
        if noise is not None:
            raw = raw + noise.astype(raw.dtype)
        interface = heads.split_interface(raw.astype(carry.memory.dtype), *sizes)

        step = machine_step
        for _ in inputs.shape[:-1]:
            step = jax.vmap(step)
        now = step(carry.memory, carry.read_weights, carry.write_weights, interface)
        if not self.is_initializing():  # or a trace would be among the parameters
            self.sow("trace", "step", now, reduce_fn=lambda _, new: new, init_fn=lambda: None)

        if self.output_from_reads:
            reads = now.read_vectors.reshape(*inputs.shape[:-1], -1)
            hidden = jnp.concatenate([hidden, reads.astype(hidden.dtype)], axis=-1)
        outputs = nn.Dense(self.features, dtype=self.dtype, name="output")(hidden)
        if self.output_activation is not None:
            outputs = self.output_activation(outputs)
        state = NTMState(controller_carry, *now[1:])
        return state, outputs

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> NTMState:
        """The state before the first step, the same for every example of a batch.

        Args:
          rng: key for the controller's carry and for a random `memory_init` or `weights_init`.
          input_shape: (..., I), with any leading batch axes.

        Returns:
          The state, batch axes leading.
        """
        batch = tuple(input_shape[:-1])
        controller_key, memory_key, read_key, write_key = jax.random.split(rng, 4)
        controller_features = input_shape[-1] + self.num_read_heads * self.slot_width
        slots = self.memory_init(memory_key, (self.num_slots, self.slot_width), jnp.float32)
        read_weights, write_weights = (
            self.weights_init(key, (count, self.num_slots), jnp.float32)
            for key, count in ((read_key, self.num_read_heads), (write_key, self.num_write_heads))
        )
        machine = (slots, read_weights, write_weights, read_weights @ slots)
        return NTMState(
            self.controller.initialize_carry(controller_key, (*batch, controller_features)),
            *(jnp.broadcast_to(leaf, (*batch, *leaf.shape)) for leaf in machine),
        )

    @property
    def interface_sizes(self) -> tuple[int, int, int, int]:
        """R, W, M and the largest shift, as the functions of `heads` take them."""
        return self.num_read_heads, self.num_write_heads, self.slot_width, self.max_shift

    @property
    def num_feature_axes(self) -> int:
        """An input has one feature axis."""
        return 1
