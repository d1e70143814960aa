"""Reading from and writing to the memory: equations 2 to 4 of Graves et al. (2014).

Every function is written for one example; `jax.vmap` adds heads and batches. N is the number of
memory slots, M the width of a slot, W the number of write heads.
"""

import jax

from ntm_jax._shapes import check_shapes

__all__ = ["add", "erase", "read", "write"]


def read(memory: jax.Array, weights: jax.Array) -> jax.Array:
    """Read vector: the slots averaged by the weighting.

    Equation 2: r = sum_i w(i) M(i).

    Args:
      memory: [N, M].
      weights: [N], non-negative and summing to one.

    Returns:
      The read vector, [M].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(memory=(memory, "NM"), weights=(weights, "N"))
    return weights @ memory


def erase(memory: jax.Array, weights: jax.Array, erase_vector: jax.Array) -> jax.Array:
    """Memory after one head's erase.

    Equation 3: M~(i) = M(i) [1 - w(i) e].

    Args:
      memory: [N, M].
      weights: [N], the write head's weighting.
      erase_vector: [M], each component in [0, 1].

    Returns:
      The erased memory, [N, M].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(memory=(memory, "NM"), weights=(weights, "N"), erase_vector=(erase_vector, "M"))
    return memory * (1.0 - _outer(weights, erase_vector))


def add(memory: jax.Array, weights: jax.Array, add_vector: jax.Array) -> jax.Array:
    """Memory after one head's add.

    Equation 4: M(i) = M~(i) + w(i) a.

    Args:
      memory: [N, M].
      weights: [N], the write head's weighting.
      add_vector: [M].

    Returns:
      The memory with the vector added, [N, M].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(memory=(memory, "NM"), weights=(weights, "N"), add_vector=(add_vector, "M"))
    return memory + _outer(weights, add_vector)


def write(
    memory: jax.Array, weights: jax.Array, erase_vectors: jax.Array, add_vectors: jax.Array
) -> jax.Array:
    """Memory after all write heads: every erase, then every add.

    Erases are products and adds are sums, so the order of the heads cannot matter (section 3.2).

    Args:
      memory: [N, M].
      weights: [W, N], one weighting a head.
      erase_vectors: [W, M], each component in [0, 1].
      add_vectors: [W, M].

    Returns:
      The written memory, [N, M].

    Raises:
      AssertionError: a shape does not fit.
    """
    check_shapes(
        memory=(memory, "NM"),
        weights=(weights, "WN"),
        erase_vectors=(erase_vectors, "WM"),
        add_vectors=(add_vectors, "WM"),
    )
    for head_weights, vector in zip(weights, erase_vectors, strict=True):
        memory = erase(memory, head_weights, vector)
    for head_weights, vector in zip(weights, add_vectors, strict=True):
        memory = add(memory, head_weights, vector)
    return memory


def _outer(weights: jax.Array, vector: jax.Array) -> jax.Array:
    # As a matrix product: its transposes are matrix products too, where those of a broadcast
    # multiplication are reductions.
    return weights[:, None] @ vector[None, :]
