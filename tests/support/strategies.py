"""What the tests draw from: arrays for hypothesis, and parameters and inputs that are not tame."""

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
from hypothesis import strategies as st

from ntm_jax.addressing import AddressParameters
from ntm_jax.cell import NTMState

# Few sizes, because every new shape is compiled; 1 and 2 slots are where a shift wraps twice.
slots = st.sampled_from([1, 2, 5])
widths = st.sampled_from([1, 3])
shifts = st.sampled_from([1, 3, 5])
heads = st.sampled_from([1, 2, 3])


def reals(*shape):
    """Arrays of multiples of 1/16 in [-3, 3]: exact in float32, with many exact zeros."""
    return hnp.arrays(np.float32, shape, elements=st.integers(-48, 48).map(lambda v: v / 16))


def units(*shape):
    """Arrays in [0, 1], the ends included."""
    return hnp.arrays(np.float32, shape, elements=st.integers(0, 16).map(lambda v: v / 16))


def simplex(*shape):
    """Weightings along the last axis, with exact zeros and one-hot ones among them."""
    counts = hnp.arrays(np.int64, shape, elements=st.integers(0, 8))
    return counts.filter(lambda c: (c.sum(-1) > 0).all()).map(
        lambda c: (c / c.sum(-1, keepdims=True)).astype(np.float32)
    )


def scalars(low, high):
    """Scalar arrays in [low, high], in steps of 1/16."""
    return st.integers(low * 16, high * 16).map(lambda v: np.float32(v / 16))


@st.composite
def addresses(draw):
    """A memory, a previous weighting, and what a head may emit."""
    size, width, num_shifts = draw(slots), draw(widths), draw(shifts)
    parameters = AddressParameters(
        key=draw(reals(width)),
        strength=draw(scalars(0, 20)),
        gate=draw(scalars(0, 1)),
        shift=draw(simplex(num_shifts)),
        sharpness=draw(scalars(1, 10)),
    )
    return draw(reals(size, width)), draw(simplex(size)), parameters


def normal(seed, *shape):
    """Normally distributed numbers, [shape], float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def shaken(params, seed=0, scale=0.7):
    """Parameters of the same shapes with no zeros and no symmetry: biases are tested too."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(generator.normal(size=leaf.shape) * scale, leaf.dtype),
        params,
    )


def parameters(module, *arguments, seed=0):
    """Parameters for these arguments, `shaken`; nothing is compiled to get them."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)
    return shaken(shapes.get("params", {}), seed)


def busy_state(cell, batch, input_features, seed=0):
    """A carry as it may be in the middle of a sequence: no two slots, no two examples alike."""
    first = jax.eval_shape(
        lambda key: cell.initialize_carry(key, (*batch, input_features)), jax.random.key(0)
    )
    generator = np.random.default_rng(seed)

    def weights(like):
        return generator.dirichlet(np.ones(like.shape[-1]), like.shape[:-1]).astype(np.float32)

    def values(like):
        return generator.normal(size=like.shape).astype(np.float32)

    state = NTMState(
        controller=jax.tree.map(values, first.controller),
        memory=values(first.memory),
        read_weights=weights(first.read_weights),
        write_weights=weights(first.write_weights),
        read_vectors=values(first.read_vectors),
    )
    return jax.tree.map(jax.numpy.asarray, state)


def all_finite(tree):
    """Whether every number in every leaf is finite."""
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))
