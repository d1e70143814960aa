"""What a Neural Turing Machine is compared with: networks without an external memory.

All map inputs [B, T, I] or [T, I] to outputs [B, T, O] or [T, O], and no output sees a later input.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.rnn import Recurrent

__all__ = ["Transformer", "dense", "gru", "keras_lstm", "skip_lstm"]


def skip_lstm(
    features: int = 9, hidden_size: int = 256, num_layers: int = 3, **options: Any
) -> Recurrent:
    """The LSTM of the paper's table 3: three layers, skip connections, learned initial state.

    The input goes to every layer, every layer goes to the output. With a inputs, b outputs and H
    cells a layer it has 4H(a + H + 1) + 8H(a + 2H + 1) + b(3H + 1) + 6H parameters.
    """
    cells = tuple(LSTM(hidden_size, forget_bias=1.0) for _ in range(num_layers))
    return Recurrent(Stack(cells, skip=True), features, learn_carry=True, **options)


def keras_lstm(
    features: int = 8, hidden_sizes: Sequence[int] = (256, 256), **options: Any
) -> Recurrent:
    """The LSTM baseline of flomlo/ntm_keras: LSTM layers, the last as wide as the output.

    The last layer's h, which lies in (-1, 1), is the logit, as it is there.
    """
    cells = tuple(LSTM(size, forget_bias=1.0) for size in (*hidden_sizes, features))
    return Recurrent(Stack(cells), **options)


def dense(features: int = 8, **options: Any) -> Recurrent:
    """The baseline of flomlo/ntm_keras without a state: one dense layer on each step alone."""
    return Recurrent(FeedForward(()), features, **options)


def gru(
    features: int = 8, hidden_size: int = 256, num_layers: int = 3, **options: Any
) -> Recurrent:
    """Gated recurrent units, connected as the LSTM of table 3 is."""
    cells = tuple(nn.GRUCell(hidden_size) for _ in range(num_layers))
    return Recurrent(Stack(cells, skip=True), features, learn_carry=True, **options)


class Transformer(nn.Module):
    """A small causal Transformer, normalised before each block (Vaswani et al. 2017).

    Positions are sines, so that a sequence longer than those of training has them too.

    Attributes:
      features: O.
      width: of a step, even and a multiple of `num_heads`.
      num_layers: attention and feed-forward blocks.
      num_heads: of the attention.

    Raises:
      ValueError: the width does not fit.
    """

    features: int = 8
    width: int = 160
    num_layers: int = 4
    num_heads: int = 8

    def __post_init__(self) -> None:
        """Checks the width."""
        super().__post_init__()
        if self.width % self.num_heads or self.width % 2:
            raise ValueError(
                f"width: expected an even number and a multiple of num_heads ({self.num_heads}), "
                f"got {self.width}"
            )

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps inputs [..., T, I] to outputs [..., T, O]."""
        num_steps = inputs.shape[-2]
        seen = nn.make_causal_mask(jnp.zeros((*inputs.shape[:-2], num_steps)))
        hidden = nn.Dense(self.width)(inputs) + _positions(num_steps, self.width)
        for _ in range(self.num_layers):
            attention = nn.MultiHeadDotProductAttention(self.num_heads)
            hidden = hidden + attention(nn.LayerNorm()(hidden), mask=seen)
            wide = nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(hidden)))
            hidden = hidden + nn.Dense(self.width)(wide)
        return nn.Dense(self.features, name="output")(nn.LayerNorm()(hidden))


def _positions(num_steps: int, width: int) -> jax.Array:
    """Sines and cosines of wave lengths from 2 pi to 20,000 pi, [T, width]."""
    rates = 1e-4 ** (jnp.arange(width // 2, dtype=jnp.float32) / (width // 2))
    angles = jnp.arange(num_steps, dtype=jnp.float32)[:, None] * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
