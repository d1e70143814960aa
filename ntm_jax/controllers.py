"""Controllers: recurrent cells that see the input and the last reads, and speak to the heads.

Any `flax.linen.RNNCellBase` is a controller, Flax's own LSTM and GRU cells included. Here are
those that Flax does not have. H is a cell's number of features.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["LSTM", "FeedForward", "Stack"]


class FeedForward(nn.RNNCellBase):
    """Hidden layers without a state; the carry is empty.

    Attributes:
      hidden_sizes: width of each hidden layer; none means that the input passes unchanged.
      activation: applied after every hidden layer.
      dropout_rate: share of hidden values dropped, when a "dropout" key is given to `apply`.
      dtype: of the computation; parameters are float32.
    """

    hidden_sizes: Sequence[int] = (100,)
    activation: Callable[[jax.Array], jax.Array] = nn.tanh
    dropout_rate: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        """Makes a list a tuple: a module has to be hashable for jit."""
        self.hidden_sizes = tuple(self.hidden_sizes)
        super().__post_init__()

    @nn.compact
    def __call__(self, carry: tuple[()], inputs: jax.Array) -> tuple[tuple[()], jax.Array]:
        """Maps inputs [..., I] to [..., H] of the last hidden layer."""
        hidden = inputs
        for size in self.hidden_sizes:
            hidden = self.activation(nn.Dense(size, dtype=self.dtype)(hidden))
            if self.dropout_rate > 0.0:
                silent = not self.has_rng("dropout")
                hidden = nn.Dropout(self.dropout_rate, deterministic=silent)(hidden)
        return carry, hidden

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> tuple[()]:
        """The empty carry."""
        del rng, input_shape
        return ()

    @property
    def num_feature_axes(self) -> int:
        """An input has one feature axis."""
        return 1


class LSTM(nn.RNNCellBase):
    """Long short-term memory without peepholes, with the initial forget-gate bias as a choice.

    Flax's cells start all gates at one bias. Inside a Neural Turing Machine the forget gate's
    decides whether copying is learned: a controller that forgets must use the memory. One matrix
    product a step.

    Attributes:
      features: H.
      forget_bias: initial bias of the forget gate.
      dtype: of the computation; parameters and carry are float32.
    """

    features: int
    forget_bias: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, jax.Array], inputs: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """One step: ((c, h), inputs [..., I]) to ((c, h), h), each [..., H]."""
        cell, hidden = carry

        def bias_init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            del key
            forget = jnp.arange(shape[0]) // self.features == 1
            return jnp.where(forget, self.forget_bias, 0.0).astype(dtype)

        seen = jnp.concatenate([inputs, hidden.astype(inputs.dtype)], axis=-1)
        raw = nn.Dense(4 * self.features, bias_init=bias_init, dtype=self.dtype)(seen)
        i, f, g, o = jnp.split(raw.astype(cell.dtype), 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * nn.tanh(g)
        hidden = nn.sigmoid(o) * nn.tanh(cell)
        return (cell, hidden), hidden

    @nn.nowrap
    def initialize_carry(
        self, rng: jax.Array, input_shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        """Zero c and h, each [..., H]."""
        del rng
        zeros = jnp.zeros((*input_shape[:-1], self.features))
        return zeros, zeros

    @property
    def num_feature_axes(self) -> int:
        """An input has one feature axis."""
        return 1


class Stack(nn.RNNCellBase):
    """Cells on top of each other, as one cell.

    Attributes:
      cells: from the input upwards.
      skip: the input goes to every cell and every cell's output is part of the output, as in the
        LSTM of the paper's table 3 (Graves 2013, section 2).
    """

    cells: Sequence[nn.RNNCellBase]
    skip: bool = False

    def __post_init__(self) -> None:
        """Makes a list a tuple: a module has to be hashable for jit."""
        self.cells = tuple(self.cells)
        super().__post_init__()

    def __call__(self, carry: tuple, inputs: jax.Array) -> tuple[tuple, jax.Array]:
        """One step of every cell; with `skip` the output is all outputs, concatenated."""
        carries, outputs = [], []
        below = inputs
        for cell, cell_carry in zip(self.cells, carry, strict=True):
            cell_carry, output = cell(cell_carry, below)
            carries.append(cell_carry)
            outputs.append(output)
            below = jnp.concatenate([inputs, output], axis=-1) if self.skip else output
        return tuple(carries), jnp.concatenate(outputs, axis=-1) if self.skip else below

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> tuple:
        """Every cell's own carry, in order.

        The cells are given `input_shape` as it is: its leading axes are what a carry depends on.
        """
        keys = jax.random.split(rng, len(self.cells))
        return tuple(
            cell.initialize_carry(key, input_shape)
            for cell, key in zip(self.cells, keys, strict=True)
        )

    @property
    def num_feature_axes(self) -> int:
        """An input has one feature axis."""
        return 1
