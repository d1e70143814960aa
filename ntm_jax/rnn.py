"""Recurrent cells over sequences, with masks, learned initial carries and rematerialization.

B is the batch, T the time steps, I and O the input and output features.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from flax.core.scope import CollectionFilter, PRNGSequenceFilter
from flax.typing import InOutScanAxis

from ntm_jax._checks import check_at_least, check_cell
from ntm_jax._dtypes import cast_like
from ntm_jax._renamed import renamed_fields
from ntm_jax.state import NTMState, select_carry

__all__ = ["RNN", "ResetCell"]


@renamed_fields(segment="remat_chunk_size")
class RNN(nn.Module):
    """Applies a recurrent cell to a sequence using `nn.scan`, as `flax.linen.RNN` does.

    In addition to Flax's class it takes a mask and a reset for each step, can learn the initial
    carry and can limit what the backward pass stores.

    Attributes:
      cell: any recurrent cell.
      features: O, the size of a dense layer applied to the outputs of the cell; None returns the
        outputs of the cell.
      learn_carry: whether the initial carry is a set of parameters, initialized with the cell's own
        initial carry and shared by the batch; not for a carry with weightings, which an `NTM` can
        learn.
      unroll: number of steps unrolled in one iteration of the scan, at least 1.
      remat: whether the backward pass recomputes the intermediate values of each step instead of
        storing them.
      remat_chunk_size: if positive, the backward pass stores only every `remat_chunk_size`-th carry
        and recomputes the steps between them; sizes near sqrt(T) need the least memory. With 0 it
        stores every carry.
      time_major: whether inputs, masks and outputs have the time axis first, [T, B, ...].
      variable_axes: axis along which each variable collection is stacked over time, passed to
        `nn.scan`; "trace" is stacked along the time axis of the inputs.
      variable_broadcast: variable collections that all steps share, passed to `nn.scan`.
      variable_carry: variable collections that a step changes for the next one, such as
        "batch_stats", passed to `nn.scan`.
      split_rngs: whether a random key differs between steps, by its name, passed to `nn.scan`.
    """

    cell: nn.RNNCellBase
    features: int | None = None
    learn_carry: bool = False
    unroll: int = 1
    remat: bool = False
    remat_chunk_size: int = 0
    time_major: bool = False
    variable_axes: Mapping[CollectionFilter, InOutScanAxis] = FrozenDict()
    variable_broadcast: Sequence[str] = ("params",)
    variable_carry: CollectionFilter = False
    split_rngs: Mapping[PRNGSequenceFilter, bool] = FrozenDict({"params": False, "dropout": True})

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_cell("cell", self.cell)
        check_at_least(1, unroll=self.unroll)
        check_at_least(0, remat_chunk_size=self.remat_chunk_size)
        if self.features is not None:
            check_at_least(1, features=self.features)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        mask: jax.Array | None = None,
        initial_carry: Any = None,
        return_carry: bool = False,
        *,
        reset: jax.Array | None = None,
        seq_lengths: jax.Array | None = None,
        time_major: bool | None = None,
    ) -> Any:
        """Applies the cell to the sequence.

        To process a long sequence in parts, pass the final carry of each part to the next call.

        Args:
          inputs: [B, T, I] or [T, I].
          mask: boolean, [B, T] or [T]; where it is false, the step leaves the carry unchanged and
            its output is zero. None uses every step.
          initial_carry: the carry before the first step; None uses `make_initial_carry`.
          return_carry: whether to return the final carry too.
          reset: boolean, [B, T] or [T]; where it is true, the step begins with the carry of
            `make_initial_carry`, also if it is masked. None resets at no step.
          seq_lengths: integers, [B]; the mask of the first `seq_lengths` steps of each sequence.
          time_major: overrides the field.

        Returns:
          The outputs, [B, T, O] or [T, O]; with `return_carry` the pair (final carry, outputs).

        Raises:
          ValueError: the inputs have no time axis; a mask does not have their shape; or both `mask`
            and `seq_lengths` are given.
        """
        if inputs.ndim < 2:
            raise ValueError(f"inputs: expected [B, T, I] or [T, I], got shape {inputs.shape}")
        time_major = self.time_major if time_major is None else time_major
        if time_major:
            inputs = jnp.moveaxis(inputs, 0, -2)
            mask, reset = (m if m is None else jnp.moveaxis(m, 0, -1) for m in (mask, reset))
        if seq_lengths is not None:
            if mask is not None:
                raise ValueError("seq_lengths: expected None with a mask, got both")
            if seq_lengths.shape != inputs.shape[:-2]:
                expected = inputs.shape[:-2]
                raise ValueError(f"seq_lengths: expected shape {expected}, got {seq_lengths.shape}")
            mask = jnp.arange(inputs.shape[-2]) < seq_lengths[..., None]
        for name, steps in (("mask", mask), ("reset", reset)):
            if steps is not None and steps.shape != inputs.shape[:-1]:
                raise ValueError(f"{name}: expected shape {inputs.shape[:-1]}, got {steps.shape}")
        # Called even with an `initial_carry`, so that `init` creates the parameters.
        initial = self.make_initial_carry((*inputs.shape[:-2], inputs.shape[-1]))
        carry = initial if initial_carry is None else initial_carry
        if self.variable_carry and self.is_initializing():
            self.cell(initial, inputs[..., 0, :])  # a scan cannot create what it carries
        carry, outputs = self._scan_steps(initial, carry, inputs, mask, reset)
        if self.features is not None:
            outputs = nn.Dense(self.features, name="output")(outputs)
        if time_major:
            outputs = jnp.moveaxis(outputs, -2, 0)
        return (carry, outputs) if return_carry else outputs

    def make_initial_carry(self, input_shape: tuple[int, ...]) -> Any:
        """Returns the carry before the first step, for inputs of one step, [..., I]."""
        # The key is fixed, so a random initial carry is the same in every call.
        if not self.learn_carry:
            return self.cell.initialize_carry(jax.random.key(0), input_shape)
        carry = self.cell.initialize_carry(jax.random.key(0), input_shape[-1:])
        return self._learned_carry("carry", carry, input_shape[:-1])

    def _learned_carry(self, name: str, carry: Any, batch: tuple[int, ...]) -> Any:
        """Returns parameters that are initialized with a carry of one example, for a batch."""
        parts = jax.tree.leaves(carry, is_leaf=lambda part: isinstance(part, NTMState))
        if any(isinstance(part, NTMState) for part in parts):
            raise ValueError(
                "learn_carry: expected False for an NTMCell, whose weightings must stay on the "
                "simplex, got True; use NTM with learned_init"
            )
        leaves, structure = jax.tree.flatten(carry)
        learned = []
        for index, leaf in enumerate(leaves):
            key = f"initial_{name}_{index}"
            # `self.param` would need `__call__`; `make_initial_carry` may be called by itself.
            if self.has_variable("params", key):
                param: jax.Array = self.get_variable("params", key)
            else:
                param = self.param(key, lambda _, leaf=leaf: leaf)
            learned.append(jnp.broadcast_to(param, (*batch, *leaf.shape)))
        return jax.tree.unflatten(structure, learned)

    def _scan_steps(
        self, initial: Any, carry: Any, inputs: jax.Array, *xs: Any
    ) -> tuple[Any, jax.Array]:
        """Scans the cell over the sequence and returns the final carry and the outputs.

        `xs`, which have the time axis of the inputs, are the mask, the reset, and further arguments
        of the cell. `initial` is the carry after a reset.
        """

        def step(cell: nn.RNNCellBase, carry: Any, step_xs: tuple) -> tuple[Any, jax.Array]:
            step_inputs, mask, reset, *others = step_xs
            if reset is not None:
                carry = select_carry(reset, cast_like(initial, carry), carry)
            new_carry, outputs = self._call_cell(cell, carry, step_inputs, *others)
            new_carry = cast_like(new_carry, carry)
            if mask is None:
                return new_carry, outputs
            outputs = jnp.where(mask[..., None], outputs, jnp.zeros_like(outputs))
            return select_carry(mask, new_carry, carry), outputs

        if self.remat:
            step = nn.remat(step, prevent_cse=False)
        scan = self._make_scan(step, inputs.ndim - 2)
        if self.remat_chunk_size:
            return self._scan_chunks(scan, carry, inputs, *xs)
        return scan(self.cell, carry, (inputs, *xs))

    @nn.nowrap
    def _call_cell(self, cell: nn.RNNCellBase, carry: Any, *args: Any) -> tuple[Any, jax.Array]:
        """Runs one step; a subclass may keep the carry in another form between the steps."""
        return cell(carry, *args)

    @nn.nowrap  # Flax's tabulate would warn of its argument
    def _make_scan(self, function: Callable[..., Any], time_axis: int) -> Callable[..., Any]:
        return nn.scan(
            function,
            variable_axes={"trace": time_axis, **self.variable_axes},
            variable_broadcast=self.variable_broadcast,
            variable_carry=self.variable_carry,
            split_rngs=self.split_rngs,
            in_axes=time_axis,
            out_axes=time_axis,
            unroll=self.unroll,
            # The check traces the step a second time; only `init` needs it, to create parameters.
            check_constancy_invariants=self.is_initializing(),
        )

    def _scan_chunks(
        self,
        scan: Callable[..., Any],
        carry: Any,
        inputs: jax.Array,
        mask: jax.Array | None,
        *xs: Any,
    ) -> tuple[Any, jax.Array]:
        """Scans over chunks of steps, each rematerialized; masked steps pad the last chunk."""
        time_axis, num_steps = inputs.ndim - 2, inputs.shape[-2]
        chunk_size = min(self.remat_chunk_size, max(num_steps, 1))
        num_chunks = -(-num_steps // chunk_size)
        num_padding = num_chunks * chunk_size - num_steps
        if num_padding and mask is None:
            mask = jnp.ones(inputs.shape[:-1], bool)

        def split(array: jax.Array) -> jax.Array:
            padding = [(0, num_padding if axis == time_axis else 0) for axis in range(array.ndim)]
            batch, features = array.shape[:time_axis], array.shape[time_axis + 1 :]
            return jnp.pad(array, padding).reshape(*batch, num_chunks, chunk_size, *features)

        chunks = jax.tree.map(split, (inputs, mask, *xs))
        scan_chunks = self._make_scan(nn.remat(scan, prevent_cse=False), time_axis)
        carry, outputs = scan_chunks(self.cell, carry, chunks)
        padded_steps = num_chunks * chunk_size
        outputs = outputs.reshape(*inputs.shape[:-2], padded_steps, outputs.shape[-1])
        return carry, outputs[..., :num_steps, :]


class ResetCell(nn.RNNCellBase):
    """A recurrent cell that begins with its initial carry at every step whose reset is set.

    It brings resets to `flax.linen.RNN`, whose inputs are one array; `RNN` and `NTM` take `reset`::

        flags = jnp.expand_dims(reset, -1).astype(x.dtype)
        outputs = nn.RNN(ResetCell(cell))(jnp.concatenate([x, flags], axis=-1))

    Attributes:
      cell: any recurrent cell.

    Raises:
      TypeError: `cell` is no recurrent cell.
    """

    cell: nn.RNNCellBase

    def __post_init__(self) -> None:
        """Checks the cell."""
        check_cell("cell", self.cell)
        super().__post_init__()

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, Any]:
        """Runs one step.

        Args:
          carry: the carry of the cell.
          inputs: [..., I + 1], the inputs of the cell and the reset, which is set if it is not 0.

        Returns:
          The next carry, and the outputs of the cell.
        """
        initial = self.initialize_carry(jax.random.key(0), inputs.shape)
        carry = select_carry(inputs[..., -1] != 0, cast_like(initial, carry), carry)
        return self.cell(carry, inputs[..., :-1])

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """Returns the initial carry of the cell, for inputs of the shape (..., I + 1)."""
        return self.cell.initialize_carry(rng, (*input_shape[:-1], input_shape[-1] - 1))

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of the inputs."""
        return 1
