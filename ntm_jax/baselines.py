"""Baselines without external memory: LSTMs, GRUs, a Transformer and a dense layer.

Every model is causal and maps inputs [B, T, I] or [T, I] to outputs [B, T, O] or [T, O]. All sizes
are at least 1; a builder passes its `fields` on to `RNN`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax._checks import check_at_least
from ntm_jax._renamed import renamed_fields, renamed_names
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.rnn import RNN

__all__ = ["BASELINES", "Transformer", "gru", "keras_lstm", "lstm_skip", "per_step_dense"]

__getattr__ = renamed_names(__name__, {"skip_lstm": "lstm_skip", "dense": "per_step_dense"})


def lstm_skip(features: int = 9, hidden_size: int = 256, num_layers: int = 3, **fields: Any) -> RNN:
    """Returns the LSTM of the paper's table 3, with skip connections and a learned initial carry.

    For I inputs, O outputs, H cells per layer and three layers the number of parameters is
    4H(I + H + 1) + 8H(I + 2H + 1) + O(3H + 1) + 6H.

    Args:
      features: O, at least 1.
      hidden_size: H, at least 1.
      num_layers: number of layers, at least 1.
      **fields: fields of `RNN`.
    """
    check_at_least(1, hidden_size=hidden_size, num_layers=num_layers)
    cells = tuple(LSTM(hidden_size, forget_bias=1.0) for _ in range(num_layers))
    return RNN(Stack(cells, skip=True), features, learn_carry=True, **fields)


def keras_lstm(features: int = 8, hidden_sizes: Sequence[int] = (256, 256), **fields: Any) -> RNN:
    """Returns the LSTM baseline of flomlo/ntm_keras.

    The last of its LSTM layers has O cells, and their outputs h, in (-1, 1), are the logits.

    Args:
      features: O, at least 1.
      hidden_sizes: number of cells of the other layers.
      **fields: fields of `RNN`.
    """
    check_at_least(1, features=features, hidden_sizes=hidden_sizes)
    cells = tuple(LSTM(size, forget_bias=1.0) for size in (*hidden_sizes, features))
    return RNN(Stack(cells), **fields)


def per_step_dense(features: int = 8, **fields: Any) -> RNN:
    """Returns the stateless baseline of flomlo/ntm_keras: one dense layer applied to each step."""
    return RNN(FeedForward(()), features, **fields)


def gru(features: int = 8, hidden_size: int = 256, num_layers: int = 3, **fields: Any) -> RNN:
    """Returns `lstm_skip` with GRU cells in place of LSTM cells.

    Args:
      features: O, at least 1.
      hidden_size: number of cells per layer, at least 1.
      num_layers: number of layers, at least 1.
      **fields: fields of `RNN`.
    """
    check_at_least(1, hidden_size=hidden_size, num_layers=num_layers)
    cells = tuple(nn.GRUCell(hidden_size) for _ in range(num_layers))
    return RNN(Stack(cells, skip=True), features, learn_carry=True, **fields)


@renamed_fields(width="d_model")
class Transformer(nn.Module):
    """Causal pre-norm Transformer with sinusoidal positions (Vaswani et al. 2017).

    Attributes:
      features: O.
      d_model: size of the hidden values of each step; even and a multiple of `num_heads`.
      num_layers: number of attention and MLP blocks.
      num_heads: number of attention heads.
    """

    features: int = 8
    d_model: int = 160
    num_layers: int = 4
    num_heads: int = 8

    def __post_init__(self) -> None:
        """Checks the sizes."""
        check_at_least(1, features=self.features, d_model=self.d_model)
        check_at_least(1, num_layers=self.num_layers, num_heads=self.num_heads)
        if self.d_model % self.num_heads or self.d_model % 2:
            raise ValueError(
                f"d_model: expected an even number and a multiple of num_heads ({self.num_heads}), "
                f"got {self.d_model}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps inputs [..., T, I] to outputs [..., T, O]."""
        num_steps = inputs.shape[-2]
        causal_mask = nn.make_causal_mask(jnp.zeros(inputs.shape[:-1]))
        hidden = nn.Dense(self.d_model)(inputs)
        positions = _positions(num_steps, self.d_model).astype(hidden.dtype)
        hidden = hidden + jnp.broadcast_to(positions, hidden.shape)
        for _ in range(self.num_layers):
            attention = nn.MultiHeadDotProductAttention(self.num_heads)
            hidden = hidden + attention(nn.LayerNorm()(hidden), mask=causal_mask)
            mlp = nn.gelu(nn.Dense(4 * self.d_model)(nn.LayerNorm()(hidden)))
            hidden = hidden + nn.Dense(self.d_model)(mlp)
        return nn.Dense(self.features, name="output")(nn.LayerNorm()(hidden))


def _positions(num_steps: int, d_model: int) -> jax.Array:
    """Returns sines and cosines of wavelengths from 2 pi to 20,000 pi, [T, d_model]."""
    rates = 1e-4 ** (jnp.arange(d_model // 2, dtype=jnp.float32) / (d_model // 2))
    angles = jnp.arange(num_steps, dtype=jnp.float32)[:, None] * rates[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


# By the name of the model in a config.
BASELINES: dict[str, Callable[..., nn.Module]] = {
    "lstm_skip": lstm_skip,
    "gru": gru,
    "transformer": Transformer,
    "keras_lstm": keras_lstm,
    "per_step_dense": per_step_dense,
}
