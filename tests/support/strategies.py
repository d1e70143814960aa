"""Hypothesis strategies, and random parameters, inputs and states."""

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
from hypothesis import strategies as st

from ntm_jax.addressing import AddressParameters
from ntm_jax.cell import NTMState

# Few sizes, because every new shape is compiled; with 1 and 2 slots a shift wraps around twice.
num_slots = st.sampled_from([1, 2, 5])
slot_widths = st.sampled_from([1, 3])
num_shifts = st.sampled_from([1, 3, 5])
num_heads = st.sampled_from([1, 2, 3])


def reals(*shape):
    """Arrays of multiples of 1/16 in [-3, 3]: exact in float32, with many exact zeros."""
    return hnp.arrays(np.float32, shape, elements=st.integers(-48, 48).map(lambda v: v / 16))


def units(*shape):
    """Arrays of multiples of 1/16 in [0, 1], both ends included."""
    return hnp.arrays(np.float32, shape, elements=st.integers(0, 16).map(lambda v: v / 16))


def simplex(*shape):
    """Weightings along the last axis, some with exact zeros and some one-hot."""
    counts = hnp.arrays(np.int64, shape, elements=st.integers(0, 8))
    return counts.filter(lambda c: (c.sum(-1) > 0).all()).map(
        lambda c: (c / c.sum(-1, keepdims=True)).astype(np.float32)
    )


def scalars(low, high):
    """Scalar arrays of multiples of 1/16 in [low, high]."""
    return st.integers(low * 16, high * 16).map(lambda v: np.float32(v / 16))


@st.composite
def addresses(draw):
    """Arguments of `addressing.address`: memory, previous weighting, address parameters."""
    slots, width, shifts = draw(num_slots), draw(slot_widths), draw(num_shifts)
    parameters = AddressParameters(
        key=draw(reals(width)),
        strength=draw(scalars(0, 20)),
        gate=draw(scalars(0, 1)),
        shift=draw(simplex(shifts)),
        sharpness=draw(scalars(1, 10)),
    )
    return draw(reals(slots, width)), draw(simplex(slots)), parameters


def normal(seed, *shape):
    """Standard normal numbers, [shape], float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_params(params, seed=0, scale=0.7):
    """Normal parameters of the same shapes; no bias is zero, as it is after `init`."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(generator.normal(size=leaf.shape) * scale, leaf.dtype),
        params,
    )


def init_random_params(module, *arguments, seed=0):
    """`random_params` of a module called with these arguments; `init` is not compiled."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)
    return random_params(shapes.get("params", {}), seed)


def random_state(cell, batch, input_features, seed=0):
    """A random carry of a cell, as in the middle of a sequence: all slots and examples differ."""
    initial = jax.eval_shape(
        lambda key: cell.initialize_carry(key, (*batch, input_features)), jax.random.key(0)
    )
    generator = np.random.default_rng(seed)

    def weights(like):
        return generator.dirichlet(np.ones(like.shape[-1]), like.shape[:-1]).astype(np.float32)

    def values(like):
        return generator.normal(size=like.shape).astype(np.float32)

    state = NTMState(
        controller=jax.tree.map(values, initial.controller),
        memory=values(initial.memory),
        read_weights=weights(initial.read_weights),
        write_weights=weights(initial.write_weights),
        read_vectors=values(initial.read_vectors),
    )
    return jax.tree.map(jax.numpy.asarray, state)


def all_finite(tree):
    """Whether every number in every leaf is finite."""
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))
