"""Interface vector: everything that the controller emits for the heads in one step.

R and W are the numbers of read and write heads, M the slot width, S = 2 max_shift + 1 the number of
allowed shifts.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.addressing import AddressParameters

__all__ = ["Interface", "InterfaceSpec"]


class Interface(NamedTuple):
    """Head parameters of one step, each in its range.

    Attributes:
      read: address parameters of the read heads, each with a leading axis R.
      write: address parameters of the write heads, each with a leading axis W.
      erase: erase vectors e, [W, M], in (0, 1).
      add: add vectors a, [W, M].
    """

    read: AddressParameters
    write: AddressParameters
    erase: jax.Array
    add: jax.Array


@dataclasses.dataclass(frozen=True)
class InterfaceSpec:
    """Layout of the interface vector.

    The raw vector has M + S + 3 values per head (key, strength, gate, sharpness, shift), read heads
    first, then the W erase vectors, then the W add vectors.

    Attributes:
      num_read_heads: R, at least 0.
      num_write_heads: W, at least 0.
      slot_width: M, at least 1.
      max_shift: largest shift in one step, in slots, at least 0.
    """

    num_read_heads: int
    num_write_heads: int
    slot_width: int
    max_shift: int

    @property
    def size(self) -> int:
        """Length of the interface vector."""
        return self._num_heads * self._address_size + 2 * self.num_write_heads * self.slot_width

    @property
    def is_content_value(self) -> np.ndarray:
        """Mask of the values in keys, erase and add vectors, [size]; the others move the heads."""
        head = np.arange(self._address_size) < self.slot_width
        vectors = np.ones(2 * self.num_write_heads * self.slot_width, bool)
        return np.concatenate([np.tile(head, self._num_heads), vectors])

    def split(self, raw: jax.Array) -> Interface:
        """Splits a raw vector into head parameters and maps each into its range.

        Args:
          raw: [..., size], any real numbers.

        Returns:
          The interface; leading axes of `raw` come before R and W.

        Raises:
          ValueError: the last axis of `raw` has another length than `size`.
        """
        if raw.shape[-1] != self.size:
            raise ValueError(f"raw: expected {self.size} interface values, got {raw.shape[-1]}")
        parts = self._split_raw(raw)
        return Interface(
            read=_activate(parts.read),
            write=_activate(parts.write),
            erase=jax.nn.sigmoid(parts.erase),
            add=parts.add,
        )

    def initial_bias(
        self,
        strength: float = 0.0,
        gate: float = 0.0,
        sharpness: float = 0.0,
        shift: float = 0.0,
        erase: float = 0.0,
        read_gates: Sequence[float] = (),
    ) -> np.ndarray:
        """Returns an initial bias of the raw vector; keys and add vectors have bias 0.

        Args:
          strength: raw bias of beta = softplus(.).
          gate: raw bias of g = sigmoid(.).
          sharpness: raw bias of gamma = 1 + softplus(.).
          shift: raw bias of the shift by +1 in the softmax of s; the other shifts have bias 0.
          erase: raw bias of e = sigmoid(.).
          read_gates: raw gate biases of the first read heads, in place of `gate`; at most R.

        Returns:
          The bias, [size], float32.
        """
        shifts = np.zeros(2 * self.max_shift + 1)
        if self.max_shift > 0:
            shifts[self.max_shift + 1] = shift
        gates = [*read_gates, *[gate] * (self._num_heads - len(read_gates))]
        key = np.zeros(self.slot_width)
        heads = [np.concatenate([key, [strength, gate, sharpness], shifts]) for gate in gates]
        erase_vectors = np.full(self.num_write_heads * self.slot_width, erase)
        add_vectors = np.zeros_like(erase_vectors)
        return np.concatenate([*heads, erase_vectors, add_vectors]).astype(np.float32)

    def addressing_noise(self, rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Draws standard normal noise for strength, gate, sharpness and shift; 0 elsewhere.

        Args:
          rng: a JAX random key.
          shape: leading axes of the noise.

        Returns:
          The noise, [*shape, size], float32.
        """
        is_addressing_value = ~self.is_content_value
        noise_shape = (*shape, int(is_addressing_value.sum()))
        noise = jax.random.normal(rng, noise_shape, jnp.float32)
        zeros = jnp.zeros((*shape, self.size), jnp.float32)
        return zeros.at[..., is_addressing_value].set(noise)

    def tie_read_keys_to_add_vector(self, kernel: jax.Array, count: int) -> jax.Array:
        """Copies the kernel of the first add vector to the keys of the first read heads.

        Args:
          kernel: kernel of the raw vector, [features, size].
          count: number of read heads, at most R.

        Returns:
          The kernel, [features, size].
        """
        indices = self._split_raw(jnp.arange(self.size))
        return kernel.at[:, indices.read.key[:count]].set(kernel[:, None, indices.add[0]])

    @property
    def _num_heads(self) -> int:
        return self.num_read_heads + self.num_write_heads

    @property
    def _address_size(self) -> int:
        return self.slot_width + 3 + 2 * self.max_shift + 1

    def _split_raw(self, raw: jax.Array) -> Interface:
        addresses, erase, add = jnp.split(
            raw,
            np.cumsum(
                [self._num_heads * self._address_size, self.num_write_heads * self.slot_width]
            ),
            axis=-1,
        )
        addresses = addresses.reshape(*raw.shape[:-1], self._num_heads, self._address_size)
        read, write = jnp.split(addresses, [self.num_read_heads], axis=-2)
        vectors_shape = (*raw.shape[:-1], self.num_write_heads, self.slot_width)
        return Interface(
            read=self._split_address(read),
            write=self._split_address(write),
            erase=erase.reshape(vectors_shape),
            add=add.reshape(vectors_shape),
        )

    def _split_address(self, raw: jax.Array) -> AddressParameters:
        key, strength, gate, sharpness, shift = jnp.split(
            raw, np.cumsum([self.slot_width, 1, 1, 1]), axis=-1
        )
        return AddressParameters(
            key=key,
            strength=strength[..., 0],
            gate=gate[..., 0],
            shift=shift,
            sharpness=sharpness[..., 0],
        )


def _activate(raw: AddressParameters) -> AddressParameters:
    """Maps raw address parameters into the ranges of section 3.3."""
    return AddressParameters(
        key=raw.key,
        strength=jax.nn.softplus(raw.strength),
        gate=jax.nn.sigmoid(raw.gate),
        shift=jax.nn.softmax(raw.shift),
        sharpness=1.0 + jax.nn.softplus(raw.sharpness),
    )
