"""What goes into the kernels of `fused.kernels` and comes out of them.

All sizes but T are powers of two, since Triton has no others, with zeros behind what exists: N
slots, M numbers of a slot, H features, C numbers of a raw interface vector. K = R + W heads, the
read heads first. G gates of the controller: one of a feed-forward layer, four of an LSTM.
"""

from typing import Any, NamedTuple

from ntm_jax import heads

__all__ = ["Sizes", "State", "Steps", "Weights", "padded"]


class Sizes(NamedTuple):
    """What the padded shapes do not say.

    Attributes:
      num_slots: slots that exist.
      num_read_heads: R.
      num_write_heads: W.
      slot_width: numbers of a slot that exist.
      max_shift: the farthest a head moves in one step.
      interpret: run by Pallas's interpreter, without a GPU.
    """

    num_slots: int
    num_read_heads: int
    num_write_heads: int
    slot_width: int
    max_shift: int
    interpret: bool

    @property
    def interface_size(self) -> int:
        """Numbers of a raw interface vector that exist."""
        return heads.interface_size(*self.interface)

    @property
    def interface(self) -> tuple[int, int, int, int]:
        """R, W, M and the largest shift, as the functions of `heads` take them."""
        return self[1:5]

    @property
    def read_heads(self) -> range:
        """Of all heads those that read."""
        return range(self.num_read_heads)

    @property
    def write_heads(self) -> range:
        """Of all heads those that write."""
        return range(self.num_read_heads, self.num_read_heads + self.num_write_heads)


class Weights(NamedTuple):
    """The parameters that are used in every step.

    Attributes:
      reads: from the last read vectors to the gates, [G, R, M, H].
      hidden: from the last hidden features to the gates, [G, H, H]; None without a carry.
      interface: from the hidden features, [H, C]; at least one column is padding.
      bias: of the interface, [C].
    """

    reads: Any
    hidden: Any
    interface: Any
    bias: Any


class State(NamedTuple):
    """The machine between two steps.

    Attributes:
      controller: () or (c, h), each [H].
      memory: [N, M].
      weights: of all heads, [K, N]; inside a kernel K vectors.
      reads: [R, M]; inside a kernel R vectors.
    """

    controller: Any
    memory: Any
    weights: Any
    reads: Any


class Steps(NamedTuple):
    """What every step computed on its way.

    Attributes:
      gates: of the controller, before their activation, [T, G, H].
      hidden: the controller's output, [T, H].
      raw: interface vectors, [T, C].
      gated: weightings after equation 7, [T, K, N].
    """

    gates: Any
    hidden: Any
    raw: Any
    gated: Any


def padded(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()
