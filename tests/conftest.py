"""Settings of the whole suite. Warnings are errors by `filterwarnings` in pyproject.toml."""

import os

# Tests compile much and compute little; the processes that they start read it too. Before JAX.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import hypothesis
import jax
import pytest

# An operation that mixes dtypes silently is an error.
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Compiling takes longer than any deadline; the same examples are drawn in every run.
hypothesis.settings.register_profile(
    "ntm_jax", deadline=None, derandomize=True, max_examples=20, database=None
)
hypothesis.settings.load_profile("ntm_jax")


@pytest.fixture
def optax_promotion():
    """For tests that go through optax, whose Adam raises a float to an integer power."""
    with jax.numpy_dtype_promotion("standard"):
        yield
