"""The Neural Turing Machine as a Flax recurrent cell.

I and O are the numbers of input and output features, N of memory slots, R and W of read and write
heads; M is the slot width.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax import addressing
from ntm_jax import memory as memory_ops
from ntm_jax._checks import check_at_least, check_cell, type_name
from ntm_jax._dtypes import cast_like, promote
from ntm_jax._renamed import renamed_fields, renamed_names
from ntm_jax._shapes import check_shapes
from ntm_jax.heads import Interface, InterfaceSpec
from ntm_jax.initializers import (
    Initializer,
    first_slot_marker,
    one_hot_weighting,
    uniform_weighting,
)
from ntm_jax.state import NTMState

__all__ = [
    "NTMCell",
    "NTMState",
    "StepTrace",
    "access_memory",
    "first_slot_marker",
    "one_hot_weighting",
    "uniform_weighting",
]

__getattr__ = renamed_names(
    __name__,
    {
        "Step": "StepTrace",
        "machine_step": "access_memory",
        "marked_memory": "first_slot_marker",
        "one_hot_weights": "one_hot_weighting",
        "uniform_weights": "uniform_weighting",
    },
)

# A gate of 0.73; the reason is in docs/initialization.md.
_CONTENT_GATE_BIAS = 1.0


class StepTrace(NamedTuple):
    """Memory access of one step, as the collection "trace" stores it.

    Attributes:
      interface: head parameters.
      memory: the memory after writing, [N, M].
      read_weights: weightings of the read heads, [R, N].
      write_weights: weightings of the write heads, [W, N].
      read_vectors: [R, M].
    """

    interface: Interface
    memory: jax.Array
    read_weights: jax.Array
    write_weights: jax.Array
    read_vectors: jax.Array


@renamed_fields(weights_init="head_init", content_reads="num_content_read_heads")
class NTMCell(nn.RNNCellBase):
    """Neural Turing Machine cell.

    One step computes, from inputs x, memory M, weightings w_w and w_r, and read vectors r::

        h = controller([x, r])
        p_w, e, a, p_r = split(W_i h + b_i)    head parameters
        w_w' = address(M, w_w, p_w)            figure 2: equations 5 to 9
        M' = write(M, w_w', e, a)              equations 3 and 4
        w_r' = address(M', w_r, p_r)
        r' = read(M', w_r')                    equation 2
        y = W_y [h, r'] + b_y

    No parameter's shape depends on the number of slots: parameters trained with 128 slots work with
    1,024. The reasons for the default initialization are in docs/initialization.md.

    Example usage::

        >>> import jax
        >>> from ntm_jax import FeedForward, NTMCell
        >>> x = jax.random.normal(jax.random.key(0), (16, 9))
        >>> cell = NTMCell(features=8, controller=FeedForward((100,)))
        >>> carry = cell.initialize_carry(jax.random.key(1), x.shape)
        >>> variables = cell.init(jax.random.key(2), carry, x)
        >>> carry, y = cell.apply(variables, carry, x)
        >>> y.shape
        (16, 8)

    Attributes:
      features: O, number of output features, at least 1.
      controller: any RNN cell; its inputs are x and the previous read vectors. Inside a compact
        method, construct it with `parent=None`; otherwise its parameters are those of the enclosing
        module, as Flax does for every module that is constructed there.
      num_slots: N, number of memory slots, at least 1.
      slot_width: M, values per slot, at least 1.
      num_read_heads: R, number of read heads, at least 1.
      num_write_heads: W, number of write heads, at least 1.
      max_shift: largest shift in one step, in slots, at least 0.
      memory_init: initializer of the memory, for the shape (N, M).
      head_init: initializer of the weightings, for the shape (heads, N).
      strength_bias: initial bias of the raw key strengths, beta = softplus(.).
      gate_bias: initial bias of the raw gates, g = sigmoid(.).
      sharpness_bias: initial bias of the raw sharpness, gamma = 1 + softplus(.).
      shift_bias: initial bias of the raw shift by +1; the other shifts have bias 0.
      erase_bias: initial bias of the raw erase vectors, e = sigmoid(.).
      num_content_read_heads: number of read heads, from 0 to R, that are initialized for content
        addressing: with gates of 0.73, and with keys equal to the first add vector.
      output_from_reads: whether y is computed from r' too; if not, y = W_y h + b_y.
      output_activation: function applied to y; None returns logits.
      dtype: dtype of the dense layers, such as bfloat16; None infers it from inputs and parameters.
        Each step keeps the dtypes of its carry.
      param_dtype: dtype of the parameters and of the initial carry, but not of the controller's.

    Raises:
      TypeError: a field was renamed, a size is no integer, or the controller is no RNN cell.
      ValueError: a size is out of its range, or a bias is not finite.
    """

    features: int
    controller: nn.RNNCellBase
    num_slots: int = 128
    slot_width: int = 20
    num_read_heads: int = 1
    num_write_heads: int = 1
    max_shift: int = 1
    memory_init: Initializer = first_slot_marker()
    head_init: Initializer = one_hot_weighting
    strength_bias: float = 10.0
    gate_bias: float = -3.0
    sharpness_bias: float = 1.0
    shift_bias: float = 2.0
    erase_bias: float = 0.0
    num_content_read_heads: int = 0
    output_from_reads: bool = True
    output_activation: Callable[[jax.Array], jax.Array] | None = None
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the ranges of the fields."""
        super().__post_init__()
        check_cell("controller", self.controller)
        sizes = ("features", "num_slots", "slot_width", "num_read_heads", "num_write_heads")
        check_at_least(1, **{name: getattr(self, name) for name in sizes})
        check_at_least(0, max_shift=self.max_shift)
        for name in ("strength_bias", "gate_bias", "sharpness_bias", "shift_bias", "erase_bias"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: expected a finite number, got {getattr(self, name)}")
        if not 0 <= self.num_content_read_heads <= self.num_read_heads:
            raise ValueError(
                f"num_content_read_heads: expected 0 to {self.num_read_heads}, the number of read "
                f"heads, got {self.num_content_read_heads}"
            )

    @nn.compact
    def __call__(
        self, carry: NTMState, inputs: jax.Array, noise: jax.Array | None = None
    ) -> tuple[NTMState, jax.Array]:
        """Runs one step.

        Args:
          carry: the state after the previous step, or from `initialize_carry`.
          inputs: x, [..., I], with the batch axes of the carry.
          noise: noise on the raw interface vector, [..., `interface_spec.size`], with leading axes
            that broadcast to the batch axes; None adds nothing.

        Returns:
          The next state, and the outputs y, [..., O].

        Raises:
          ValueError: the carry is no `NTMState`, or a part of it does not have the shape for this
            cell and batch.
        """
        self._check_carry(carry, inputs)
        batch = inputs.shape[:-1]
        read_shape = (*batch, self.num_read_heads * self.slot_width)
        read_vectors = carry.read_vectors.reshape(read_shape)
        controller_inputs = jnp.concatenate(promote(inputs, read_vectors), axis=-1)
        controller_carry, hidden = self.controller(carry.controller, controller_inputs)

        raw = nn.Dense(
            self.interface_spec.size,
            kernel_init=self._init_interface_kernel,
            bias_init=self._init_interface_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="interface",
        )(hidden)
        if noise is not None:
            raw = raw + noise.astype(raw.dtype)
        # Half-precision carries are stored as such; the memory access is computed in float32.
        memory, read_weights, write_weights, _ = promote(
            carry.memory, carry.read_weights, carry.write_weights, jnp.zeros((), jnp.float32)
        )
        interface = self.interface_spec.split(raw.astype(memory.dtype))

        access = self.access
        for _ in batch:
            access = jax.vmap(access)
        state = NTMState((), memory, read_weights, write_weights, carry.read_vectors, carry.extra)
        state = access(state, interface)
        step = StepTrace(interface, *state[1:5])
        if not self.is_initializing():  # `init` returns parameters alone
            self.sow("trace", "step", step, reduce_fn=lambda _, new: new, init_fn=lambda: None)

        if self.output_from_reads:
            read_vectors = step.read_vectors.reshape(read_shape).astype(carry.read_vectors.dtype)
            hidden = jnp.concatenate(promote(hidden, read_vectors, dtype=self.dtype), axis=-1)
        outputs = nn.Dense(
            self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="output"
        )(hidden)
        if self.output_activation is not None:
            outputs = self.output_activation(outputs)
        return cast_like(state._replace(controller=controller_carry), carry), outputs

    @nn.nowrap
    def access(self, state: NTMState, interface: Interface) -> NTMState:
        """Writes to the memory and reads from it, for one example: figure 2 and equations 2 to 4.

        Override it to change the rule; docs/addressing.md shows how.

        Args:
          state: the state after the previous step, without the controller's carry.
          interface: head parameters.

        Returns:
          The state with new memory, weightings and read vectors.
        """
        step = access_memory(state.memory, state.read_weights, state.write_weights, interface)
        return NTMState(state.controller, *step[1:], state.extra)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> NTMState:
        """Returns the state before the first step, the same for all examples of a batch.

        Args:
          rng: key for the controller's carry, `memory_init` and `head_init`.
          input_shape: shape of the inputs of one step, (..., I), with any leading batch axes.

        Returns:
          The state.
        """
        batch = tuple(input_shape[:-1])
        controller_key, memory_key, read_key, write_key = jax.random.split(rng, 4)
        controller_shape = (*batch, input_shape[-1] + self.num_read_heads * self.slot_width)
        read_shape, write_shape = (
            (num_heads, self.num_slots) for num_heads in (self.num_read_heads, self.num_write_heads)
        )
        memory = self.memory_init(memory_key, (self.num_slots, self.slot_width), self.param_dtype)
        read_weights = self.head_init(read_key, read_shape, self.param_dtype)
        write_weights = self.head_init(write_key, write_shape, self.param_dtype)
        unbatched = (memory, read_weights, write_weights, read_weights @ memory)
        return NTMState(
            self.controller.initialize_carry(controller_key, controller_shape),
            *(jnp.broadcast_to(leaf, (*batch, *leaf.shape)) for leaf in unbatched),
        )

    @property
    def interface_spec(self) -> InterfaceSpec:
        """Layout of the interface vector."""
        return InterfaceSpec(
            self.num_read_heads, self.num_write_heads, self.slot_width, self.max_shift
        )

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of the inputs."""
        return 1

    @nn.nowrap
    def _check_carry(self, carry: Any, inputs: jax.Array) -> None:
        if not isinstance(carry, NTMState):
            raise ValueError(f"carry: expected an NTMState, got {type_name(carry)}")
        batch, num_slots = inputs.shape[:-1], np.shape(carry.memory)[-2:-1]
        shapes = {
            "memory": (*batch, *num_slots, self.slot_width),
            "read_weights": (*batch, self.num_read_heads, *num_slots),
            "write_weights": (*batch, self.num_write_heads, *num_slots),
            "read_vectors": (*batch, self.num_read_heads, self.slot_width),
        }
        for name, expected in shapes.items():
            shape = np.shape(getattr(carry, name))
            if shape != expected:
                raise ValueError(f"carry.{name}: expected shape {expected}, got {shape}")

    @nn.nowrap
    def _init_interface_kernel(self, key: jax.Array, shape: Any, dtype: Any) -> jax.Array:
        kernel = nn.linear.default_kernel_init(key, shape, dtype)
        kernel = jnp.where(self.interface_spec.is_content_value[None], kernel, 0.0)
        if not self.num_content_read_heads:
            return kernel
        return self.interface_spec.tie_read_keys_to_add_vector(kernel, self.num_content_read_heads)

    @nn.nowrap
    def _init_interface_bias(self, key: jax.Array, shape: Any, dtype: Any) -> jax.Array:
        del key, shape
        bias = self.interface_spec.initial_bias(
            self.strength_bias,
            self.gate_bias,
            self.sharpness_bias,
            self.shift_bias,
            self.erase_bias,
            read_gates=[_CONTENT_GATE_BIAS] * self.num_content_read_heads,
        )
        return jnp.asarray(bias, dtype)


def access_memory(
    memory: jax.Array,
    read_weights: jax.Array,
    write_weights: jax.Array,
    interface: Interface,
    address: Callable[..., jax.Array] = addressing.address,
) -> StepTrace:
    """Writes to the memory and then reads from it, for one example.

    Write heads address the memory before writing, read heads the memory after writing.

    Args:
      memory: [N, M].
      read_weights: weightings of the read heads at the previous step, [R, N].
      write_weights: weightings of the write heads at the previous step, [W, N].
      interface: head parameters.
      address: computes the weighting of one head, as `addressing.address` does.

    Returns:
      The memory access, with the new memory, weightings and read vectors.

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(
        memory=(memory, "NM"),
        read_weights=(read_weights, "RN"),
        write_weights=(write_weights, "WN"),
        read_keys=(interface.read.key, "RM"),
        write_keys=(interface.write.key, "WM"),
    )
    address = jax.vmap(address, in_axes=(None, 0, 0))
    # XLA vectorizes the last axis, and there are more slots than values per slot. Each use has its
    # own transposition, so that XLA cancels all of them, also in the gradient. The scan of an `NTM`
    # cancels those at both ends of a step.
    transposed = memory.T
    write_weights = address(transposed.T, write_weights, interface.write)
    memory = memory_ops.write(transposed.T, write_weights, interface.erase, interface.add)
    transposed = memory.T
    read_weights = address(transposed.T, read_weights, interface.read)
    read_vectors = jax.vmap(memory_ops.read, in_axes=(None, 0))(transposed.T, read_weights)
    return StepTrace(interface, transposed.T, read_weights, write_weights, read_vectors)
