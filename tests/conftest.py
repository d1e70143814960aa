"""Settings of the whole suite. Warnings are errors by `filterwarnings` in pyproject.toml."""

import atexit
import os
import shutil
import tempfile

# Before JAX, and in the environment, where the processes that tests start find it too: tests
# compile much and compute little, and many compile the same program.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

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
