"""The Neural Turing Machine over whole sequences.

B is the batch, T the time steps, I and O the input and output features, N the memory slots, R and W
the read and write heads.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax._checks import type_name
from ntm_jax._renamed import renamed_fields, renamed_names
from ntm_jax.cell import NTMCell, NTMState, StepTrace
from ntm_jax.initializers import Initializer
from ntm_jax.rnn import RNN

__all__ = ["LEARNED_INITS", "NTM", "find_traces", "finite_members", "num_params", "trace"]

__getattr__ = renamed_names(__name__, {"LEARNABLE": "LEARNED_INITS"})

# Parts of the initial state that can be parameters.
LEARNED_INITS = ("controller", "memory", "head")

# Not all equal, so that slots of equal memory get different gradients; see docs/initialization.md.
_LOGITS_INIT = nn.initializers.normal(0.1)

# Learned slots with a smaller norm get the gradient of slots with this norm.
_MIN_LEARNED_NORM = 0.1


@renamed_fields(
    learn="learned_init",
    head_noise="addressing_noise_std",
    segment="remat_chunk_size",
    implementation=None,
)
class NTM(RNN):
    """Neural Turing Machine over a sequence: an `RNN` whose cell is an `NTMCell`.

    Example usage:

        >>> import jax, jax.numpy as jnp
        >>> from ntm_jax import LSTM, NTM, NTMCell
        >>> model = NTM(NTMCell(features=8, controller=LSTM(100)))
        >>> inputs = jnp.ones((2, 20, 9))  # [B, T, I]
        >>> params = model.init(jax.random.key(0), inputs)["params"]
        >>> outputs = model.apply({"params": params}, inputs)
        >>> outputs.shape  # [B, T, O]
        (2, 20, 8)

    Attributes:
      learned_init: parts of the initial state that are parameters, any of "controller", "memory"
        and "head"; the cell initializes the others. The initial values of a learned controller
        state and memory are the cell's; learned weightings start nearly uniform. If the memory has
        more slots than in training, the cell's `memory_init` fills the additional slots, and their
        initial weight is zero.
      addressing_noise_std: standard deviation, from 0 to 100, of the normal noise added to the raw
        key strengths, gates, shifts and sharpnesses. The noise differs between steps; all sequences
        of a batch share it.
      deterministic: whether the noise is off, as in `flax.linen.Dropout`, which needs it: false in
        training, where `apply` takes a "dropout" key, and true in evaluation.

    Raises:
      TypeError: a field was renamed, or the cell is no `NTMCell`.
      ValueError: a field is out of its range.
    """

    cell: NTMCell
    learned_init: Sequence[str] = ()
    addressing_noise_std: float = 0.0
    deterministic: bool | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        if not isinstance(self.cell, NTMCell):
            raise TypeError(
                f"cell: expected an NTMCell, got {type_name(self.cell)}; use RNN for other cells"
            )
        if self.learn_carry:
            raise ValueError("learn_carry: expected False, as an NTM has learned_init, got True")
        unknown = set(self.learned_init) - set(LEARNED_INITS)
        if unknown:
            raise ValueError(f"learned_init: expected {LEARNED_INITS}, got {sorted(unknown)}")
        std = self.addressing_noise_std
        if not 0 <= std <= 100:
            raise ValueError(f"addressing_noise_std: expected from 0 to 100, got {std}")
        super().__post_init__()

    def make_initial_carry(self, input_shape: tuple[int, ...]) -> NTMState:
        """Returns the state before the first step, for inputs of one step, [..., I]."""
        state = super().make_initial_carry(input_shape)
        batch, example = input_shape[:-1], super().make_initial_carry(input_shape[-1:])
        if "controller" in self.learned_init:
            controller = self._learned_carry("controller", example.controller, batch)
            state = state._replace(controller=controller)
        if "memory" in self.learned_init:
            memory = self._learned_memory(example.memory)
            state = state._replace(memory=jnp.broadcast_to(memory, state.memory.shape))
        if "head" in self.learned_init:
            for name in ("read_weights", "write_weights"):
                weighting = self._learned_weighting(name, getattr(example, name))
                shape = (*batch, *weighting.shape)
                state = state._replace(**{name: jnp.broadcast_to(weighting, shape)})
        return state._replace(read_vectors=state.read_weights @ state.memory)

    def _learned_memory(self, default: jax.Array) -> jax.Array:
        """Replaces the slots of a memory, [N, M], that exist in training with parameters."""
        param = self._initial_param("initial_memory", default)
        # The gradient of the cosine similarity is proportional to 1 / norm. Without this scale,
        # slots near zero get one thousands of times that of all other parameters.
        constant = jax.lax.stop_gradient(param)
        norms = jnp.linalg.norm(constant, axis=-1, keepdims=True)
        scales = jnp.clip(norms / _MIN_LEARNED_NORM, 1e-6 / _MIN_LEARNED_NORM, 1.0)
        return jnp.concatenate([constant + scales * (param - constant), default[len(param) :]])

    def _learned_weighting(self, name: str, default: jax.Array) -> jax.Array:
        """Returns learned weightings of the shape of `default`, [heads, N]."""
        logits = self._initial_param(f"initial_{name}", default, _LOGITS_INIT, slot_axis=1)
        return jnp.pad(jax.nn.softmax(logits), ((0, 0), (0, default.shape[1] - logits.shape[1])))

    def _initial_param(
        self, name: str, default: jax.Array, init: Initializer | None = None, slot_axis: int = 0
    ) -> jax.Array:
        """Returns a parameter of the shape of `default`, or of fewer slots if trained with fewer.

        It is initialized with `init`, or else with the value of `default`.
        """
        if not self.has_variable("params", name):
            return self.param(name, init or (lambda *_: default), default.shape, default.dtype)
        # `self.param` would raise an error for a parameter with fewer slots.
        param: jax.Array = self.get_variable("params", name)
        if param.shape[slot_axis] > default.shape[slot_axis]:
            raise ValueError(
                f"num_slots: expected at least {param.shape[slot_axis]}, the number of slots that "
                f"{name} was trained with, got {default.shape[slot_axis]}"
            )
        return param

    def _scan_steps(
        self, initial: NTMState, carry: NTMState, inputs: jax.Array, *xs: Any
    ) -> tuple[NTMState, jax.Array]:
        """Scans the cell over the sequence, with addressing noise.

        Between the steps the memory is transposed, for the reason given in `access_memory`.
        """
        initial, carry = _transpose_memory(initial), _transpose_memory(carry)
        noise = self._addressing_noise(inputs)
        carry, outputs = super()._scan_steps(initial, carry, inputs, *xs, noise)
        return _transpose_memory(carry), outputs

    @nn.nowrap
    def _call_cell(
        self, cell: nn.RNNCellBase, carry: NTMState, *args: Any
    ) -> tuple[NTMState, jax.Array]:
        carry, outputs = cell(_transpose_memory(carry), *args)
        return _transpose_memory(carry), outputs

    def _addressing_noise(self, inputs: jax.Array) -> jax.Array | None:
        """Returns the noise of all steps, [1, T, interface size], or None without noise."""
        if not self.addressing_noise_std or self.is_initializing():
            return None
        if nn.merge_param("deterministic", self.deterministic, None):
            return None
        shape = (*(1,) * (inputs.ndim - 2), inputs.shape[-2])
        # Drawn once, because a draw in every step of the scan is slow.
        noise = self.cell.interface_spec.addressing_noise(self.make_rng("dropout"), shape)
        return self.addressing_noise_std * noise


def _transpose_memory(state: NTMState) -> NTMState:
    return state._replace(memory=jnp.swapaxes(state.memory, -1, -2))


def trace(
    model: NTM, params: Any, inputs: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, StepTrace]:
    """Runs an NTM and records the memory and the heads at every step.

    Args:
      model: the NTM.
      params: the parameters of `model`.
      inputs: [B, T, I] or [T, I].
      mask: boolean, [B, T] or [T], as in `RNN`.

    Returns:
      The outputs, and a `StepTrace` whose leaves have a time axis after the batch axis. At masked
      steps it holds the values of the step that was discarded.

    Raises:
      TypeError: `model` is no `NTM`.
    """
    if not isinstance(model, NTM):
        raise TypeError(f"model: expected an NTM, got {type_name(model)}")
    # Without a backward pass, chunks would save no memory, and they would split the time axis.
    model = model.clone(remat_chunk_size=0)
    outputs, variables = model.apply({"params": params}, inputs, mask, mutable=["trace"])
    (step,) = find_traces(variables).values()
    return outputs, step


def find_traces(variables: Any) -> dict[str, StepTrace]:
    """Returns the traces of all NTM cells of a larger model.

    The cells store them when the collection is mutable::

        outputs, variables = model.apply({"params": params}, inputs, mutable=["trace"])
        traces = find_traces(variables)

    `RNN` and `NTM` stack the steps along the time axis of their inputs; `flax.linen.RNN` and
    `nn.scan` need `variable_axes={"trace": 1}` for inputs [B, T, I].

    Args:
      variables: the variables that `apply` returns.

    Returns:
      The trace of each cell, by the path of the cell, such as "encoder/cell".

    Raises:
      ValueError: there is no trace.
    """
    tree = variables.get("trace", {})
    steps = jax.tree.leaves_with_path(tree, is_leaf=lambda leaf: isinstance(leaf, StepTrace))
    if not steps:
        raise ValueError(
            'variables: expected a trace, got none; use mutable=["trace"], and give '
            'flax.linen.RNN or nn.scan variable_axes={"trace": 1}'
        )
    return {jax.tree_util.keystr(path[:-1], simple=True, separator="/"): s for path, s in steps}


def num_params(params: Any) -> int:
    """Returns the total number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def finite_members(params: Any) -> np.ndarray:
    """Returns for each of E ensemble members whether all its parameters are finite, [E]."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return np.all([np.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in leaves], axis=0)
