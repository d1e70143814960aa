"""Controllers: recurrent cells that map the input and the last read vectors to hidden values.

Any `flax.linen.RNNCellBase` can be the controller of an NTM, such as Flax's own LSTM and GRU cells.
This module adds cells that Flax does not have. I is the number of input features, H of features.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax._checks import check_at_least, check_cell, type_name
from ntm_jax._dtypes import cast_like, promote

__all__ = ["LSTM", "FeedForward", "Stack"]


class FeedForward(nn.RNNCellBase):
    """Feed-forward layers as a recurrent cell with an empty carry.

    Attributes:
      hidden_sizes: width of each hidden layer, at least 1; an empty tuple returns the input.
      activation: activation function applied after every hidden layer.
      dropout_rate: dropout rate of the hidden layers.
      deterministic: whether dropout is off, as in `flax.linen.Dropout`, which needs it: false in
        training, where `apply` takes a "dropout" key, and true in evaluation.
      dtype: dtype of the computation, as in `flax.linen.Dense`.
      param_dtype: dtype of the parameters.
    """

    hidden_sizes: Sequence[int] = (100,)
    activation: Callable[[jax.Array], jax.Array] = nn.tanh
    dropout_rate: float = 0.0
    deterministic: bool | None = None
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the sizes and makes them a tuple, because jit needs hashable modules."""
        if not isinstance(self.hidden_sizes, Sequence):
            raise TypeError(f"hidden_sizes: expected a tuple of sizes, got {self.hidden_sizes!r}")
        self.hidden_sizes = tuple(self.hidden_sizes)
        check_at_least(1, hidden_sizes=self.hidden_sizes)
        super().__post_init__()

    @nn.compact
    def __call__(self, carry: tuple[()], inputs: jax.Array) -> tuple[tuple[()], jax.Array]:
        """Maps inputs [..., I] to the last hidden layer [..., H]."""
        if not isinstance(carry, tuple) or carry:
            raise ValueError(f"carry: expected (), got {type_name(carry)}")
        hidden = inputs
        for size in self.hidden_sizes:
            layer = nn.Dense(size, dtype=self.dtype, param_dtype=self.param_dtype)
            hidden = self.activation(layer(hidden))
            if self.dropout_rate > 0.0:
                hidden = nn.Dropout(self.dropout_rate, deterministic=self.deterministic)(hidden)
        return carry, hidden

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> tuple[()]:
        """Returns the empty carry."""
        del rng, input_shape
        return ()

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of an input, 1."""
        return 1


class LSTM(nn.RNNCellBase):
    """LSTM cell with its own initial bias for the forget gate.

    The cell computes, without peepholes,

        i = sigmoid(W_ii x + W_hi h + b_i)
        f = sigmoid(W_if x + W_hf h + b_f)
        g = tanh(W_ig x + W_hg h + b_g)
        o = sigmoid(W_io x + W_ho h + b_o)
        c' = f * c + i * g
        h' = o * tanh(c')

    where x is the input, h the output of the previous step and c the cell state. One dense layer
    computes i, f, g and o, in this order, from the concatenation of x and h.

    Attributes:
      features: H, at least 1.
      forget_bias: initial value of b_f; the other biases are initialized with zeros. For the
        choice in an NTM see docs/initialization.md.
      dtype: dtype of the dense layer, as in `flax.linen.Dense`.
      param_dtype: dtype of the parameters and of the initial carry.
    """

    features: int
    forget_bias: float = 0.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the number of features."""
        check_at_least(1, features=self.features)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, jax.Array], inputs: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """Maps ((c, h), x) to ((c', h'), h'), where x is [..., I] and the others are [..., H].

        Raises:
          ValueError: the carry does not have these shapes.
        """
        shape = (*inputs.shape[:-1], self.features)
        if (shapes := jax.tree.map(np.shape, carry)) != (shape, shape):
            raise ValueError(f"carry: expected shapes {(shape, shape)}, got {shapes}")

        def bias_init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            del key
            is_forget = jnp.arange(shape[0]) // self.features == 1
            return jnp.where(is_forget, self.forget_bias, 0.0).astype(dtype)

        xh = jnp.concatenate(promote(inputs, carry[1]), axis=-1)
        gates = nn.Dense(
            4 * self.features,
            bias_init=bias_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )(xh)
        gates, c = promote(gates, carry[0])
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * nn.tanh(g)
        h = nn.sigmoid(o) * nn.tanh(c)
        return cast_like((c, h), carry), h

    @nn.nowrap
    def initialize_carry(
        self, rng: jax.Array, input_shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        """Returns zeros for c and h, each [..., H]."""
        del rng
        shape = (*input_shape[:-1], self.features)
        # Two arrays, because jit cannot donate one array twice.
        return jnp.zeros(shape, self.param_dtype), jnp.zeros(shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of an input, 1."""
        return 1


class Stack(nn.RNNCellBase):
    """Stack of recurrent cells as one cell.

    Attributes:
      cells: the cells, from the input to the output.
      skip: whether to add skip connections: every cell receives the input, and the output is the
        concatenation of the outputs of all cells (Graves 2013, section 2; LSTM of table 3).
    """

    cells: Sequence[nn.RNNCellBase]
    skip: bool = False

    def __post_init__(self) -> None:
        """Checks the cells and makes them a tuple, because jit needs hashable modules."""
        if not isinstance(self.cells, Sequence):
            raise TypeError(f"cells: expected a tuple of cells, got {type_name(self.cells)}")
        self.cells = tuple(self.cells)
        for cell in self.cells:
            check_cell("cells", cell)
        super().__post_init__()

    def __call__(self, carry: tuple, inputs: jax.Array) -> tuple[tuple, jax.Array]:
        """Runs every cell for one step and returns their carries and the output, [..., H].

        Raises:
          ValueError: the carry does not have one part per cell.
        """
        if not isinstance(carry, tuple) or len(carry) != len(self.cells):
            got = f"{len(carry)} parts" if isinstance(carry, tuple) else type_name(carry)
            raise ValueError(f"carry: expected a tuple of {len(self.cells)} parts, got {got}")
        new_carry, outputs = [], []
        x = inputs
        for cell, cell_carry in zip(self.cells, carry, strict=True):
            new_cell_carry, output = cell(cell_carry, x)
            new_carry.append(cast_like(new_cell_carry, cell_carry))
            outputs.append(output)
            x = jnp.concatenate(promote(inputs, output), axis=-1) if self.skip else output
        return tuple(new_carry), jnp.concatenate(promote(*outputs), axis=-1) if self.skip else x

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> tuple:
        """Returns the initial carry of every cell; only the leading axes of the shape matter."""
        keys = jax.random.split(rng, len(self.cells))
        return tuple(
            cell.initialize_carry(key, input_shape)
            for cell, key in zip(self.cells, keys, strict=True)
        )

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of an input, 1."""
        return 1
