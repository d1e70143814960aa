"""Reading from and writing to the memory: equations 2 to 4 of Graves et al. (2014).

Each function takes one example; `jax.vmap` adds heads and batches. N is the number of memory slots,
M the slot width, W the number of write heads.
"""

import jax

from ntm_jax._shapes import check_shapes

__all__ = ["add", "erase", "read", "write"]


def read(memory: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes the read vector of one head.

    Equation 2: r = sum_i w(i) M(i).

    Args:
      memory: M, [N, M].
      weights: w, [N], non-negative with sum 1.

    Returns:
      The read vector r, [M].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(memory=(memory, "NM"), weights=(weights, "N"))
    return weights @ memory


def erase(memory: jax.Array, weights: jax.Array, erase_vector: jax.Array) -> jax.Array:
    """Erases the memory by one head.

    Equation 3: M~(i) = M(i) [1 - w(i) e].

    Args:
      memory: M, [N, M].
      weights: w, [N], the write head's weighting.
      erase_vector: e, [M], in [0, 1].

    Returns:
      The erased memory M~, [N, M].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(memory=(memory, "NM"), weights=(weights, "N"), erase_vector=(erase_vector, "M"))
    return memory * (1.0 - _outer(weights, erase_vector))


def add(memory: jax.Array, weights: jax.Array, add_vector: jax.Array) -> jax.Array:
    """Adds one head's vector to the memory.

    Equation 4: M(i) = M~(i) + w(i) a.

    Args:
      memory: M~, [N, M].
      weights: w, [N], the write head's weighting.
      add_vector: a, [M].

    Returns:
      The new memory M, [N, M].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(memory=(memory, "NM"), weights=(weights, "N"), add_vector=(add_vector, "M"))
    return memory + _outer(weights, add_vector)


def write(
    memory: jax.Array, weights: jax.Array, erase_vectors: jax.Array, add_vectors: jax.Array
) -> jax.Array:
    """Writes to the memory by all write heads: all erases, then all adds (section 3.2).

    The result does not depend on the order of the heads.

    Args:
      memory: [N, M].
      weights: [W, N], one weighting per head.
      erase_vectors: [W, M], in [0, 1].
      add_vectors: [W, M].

    Returns:
      The new memory, [N, M].

    Raises:
      AssertionError: the shapes do not match.
    """
    check_shapes(
        memory=(memory, "NM"),
        weights=(weights, "WN"),
        erase_vectors=(erase_vectors, "WM"),
        add_vectors=(add_vectors, "WM"),
    )
    # See `access_memory`. Both equations are symmetric in slots and values.
    transposed = memory.T
    for head_weights, vector in zip(weights, erase_vectors, strict=True):
        transposed = erase(transposed, vector, head_weights)
    for head_weights, vector in zip(weights, add_vectors, strict=True):
        transposed = add(transposed, vector, head_weights)
    return transposed.T


def _outer(weights: jax.Array, vector: jax.Array) -> jax.Array:
    # A matrix product, because its transposes are matrix products too; those of a broadcast
    # multiplication are reductions.
    return weights[:, None] @ vector[None, :]
