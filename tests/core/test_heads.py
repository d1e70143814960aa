import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from support import reference, strategies

from ntm_jax.heads import InterfaceSpec

# Read heads, write heads, slot width, largest shift.
SIZES = st.sampled_from([(1, 1, 3, 1), (2, 1, 1, 0), (1, 3, 3, 2), (2, 2, 2, 1)])
split = jax.jit(InterfaceSpec.split, static_argnums=0)


@hypothesis.given(st.data())
def test_split_matches_reference(data):
    sizes = data.draw(SIZES)
    spec = InterfaceSpec(*sizes)
    raw = data.draw(strategies.reals(spec.size))
    got = split(spec, jnp.asarray(raw))
    read_heads, write_heads, erases, adds = reference.split_interface(raw, *sizes)
    for parameters, wanted in ((got.read, read_heads), (got.write, write_heads)):
        letters = ("k", "beta", "g", "s", "gamma")
        for letter, values in zip(letters, parameters, strict=True):
            want = np.array([head[letter] for head in wanted])
            assert values.shape == want.shape
            np.testing.assert_allclose(values, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got.erase, np.array(erases), rtol=1e-5)
    np.testing.assert_array_equal(got.add, np.array(adds))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # M + S + 3 values per head, and 2 M more per write head.
        ((1, 1, 20, 1), (20 + 3 + 3) + (20 + 3 + 3 + 40)),
        ((2, 3, 4, 2), 2 * (4 + 5 + 3) + 3 * (4 + 5 + 3 + 8)),
        ((1, 1, 1, 0), (1 + 1 + 3) + (1 + 1 + 3 + 2)),
    ],
)
def test_size_counts_all_head_parameters(sizes, expected):
    assert InterfaceSpec(*sizes).size == expected


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_head_parameters_are_in_range(scale, sign):
    spec = InterfaceSpec(2, 2, 3, 1)
    raw = sign * scale * np.abs(strategies.normal(0, spec.size))
    got = split(spec, jnp.asarray(raw))
    assert strategies.all_finite(got)
    for parameters in (got.read, got.write):
        assert (parameters.strength >= 0).all()
        assert ((parameters.gate >= 0) & (parameters.gate <= 1)).all()
        assert (parameters.sharpness >= 1).all()
        assert (parameters.shift >= 0).all()
        np.testing.assert_allclose(parameters.shift.sum(-1), 1.0, atol=1e-6)
    assert ((got.erase >= 0) & (got.erase <= 1)).all()


def test_strength_has_no_upper_limit():
    spec = InterfaceSpec(1, 1, 2, 1)
    raw = np.zeros(spec.size, np.float32)
    raw[2] = 5000.0  # after the read head's key
    assert spec.split(jnp.asarray(raw)).read.strength[0] == 5000.0


@pytest.mark.parametrize("raw", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_gradients_are_finite_for_large_values(raw):
    spec = InterfaceSpec(1, 1, 2, 1)

    def loss(raw):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(spec.split(raw)))

    assert strategies.all_finite(jax.jit(jax.grad(loss))(jnp.full(spec.size, raw)))


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_batch_axes_come_before_head_axes(batch):
    spec = InterfaceSpec(2, 1, 3, 1)
    raw = jnp.asarray(strategies.normal(0, *batch, spec.size))
    got = split(spec, raw)
    assert got.read.key.shape == (*batch, 2, 3)
    assert got.read.gate.shape == (*batch, 2)
    assert got.write.shift.shape == (*batch, 1, 3)
    assert got.erase.shape == got.add.shape == (*batch, 1, 3)
    for index in {tuple(np.zeros(len(batch), int)), tuple(np.array(batch, int) - 1)}:
        jax.tree.map(
            lambda leaf, want, index=index: np.testing.assert_allclose(
                leaf[index], want, atol=1e-6
            ),
            got,
            split(spec, raw[index]),
        )


def test_wrong_length_raises():
    with pytest.raises(ValueError, match="raw: expected 24 interface values, got 23"):
        InterfaceSpec(1, 1, 3, 1).split(jnp.zeros(23))


def test_initial_bias_sets_head_parameters():
    spec = InterfaceSpec(2, 3, 4, 1)
    bias = spec.initial_bias(strength=2.0, gate=-3.0, sharpness=1.5, shift=0.5, erase=-4.0)
    assert bias.shape == (spec.size,)
    assert bias.dtype == np.float32
    got = split(spec, jnp.asarray(bias))
    softplus, sigmoid = reference.softplus, reference.sigmoid
    for parameters in (got.read, got.write):
        np.testing.assert_array_equal(parameters.key, 0.0)
        np.testing.assert_allclose(parameters.strength, softplus(2.0), rtol=1e-6)
        np.testing.assert_allclose(parameters.gate, sigmoid(-3.0), rtol=1e-6)
        np.testing.assert_allclose(parameters.sharpness, 1.0 + softplus(1.5), rtol=1e-6)
        want = np.broadcast_to(reference.softmax([0.0, 0.0, 0.5]), parameters.shift.shape)
        np.testing.assert_allclose(parameters.shift, want, rtol=1e-6)
    np.testing.assert_allclose(got.erase, np.full((3, 4), sigmoid(-4.0)), rtol=1e-6)
    np.testing.assert_array_equal(got.add, 0.0)


def test_noise_affects_addressing_values_only():
    spec = InterfaceSpec(2, 3, 4, 1)
    noise = np.asarray(spec.addressing_noise(jax.random.key(0), (2, 1000)))
    is_content_value = spec.is_content_value
    assert noise.shape == (2, 1000, spec.size)
    noise = noise.reshape(2000, -1)
    np.testing.assert_array_equal(noise[:, is_content_value], 0.0)
    # The standard errors over 2,000 draws are 1.6 % for the deviation and 0.022 for the mean.
    noise = noise[:, ~is_content_value]
    np.testing.assert_allclose(noise.std(axis=0), 1.0, atol=0.08)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.11)
    assert np.abs(np.corrcoef(noise.T) - np.eye(noise.shape[1])).max() < 0.12
