"""Settings for all tests; pyproject.toml turns warnings into errors."""

import atexit
import os
import shutil
import tempfile

# Environment variables, set before JAX is imported, so that subprocesses inherit them. Tests spend
# most of their time compiling, and many compile the same program.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import hypothesis
import jax
import pytest

from ntm_jax.runtime import compilation_cache

# As the scripts do; it halves the compile time of the pinned JAX.
compilation_cache.set_fast_compile_flags()

# Implicit dtype promotion is an error.
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Compiling exceeds any deadline. Every run draws the same examples.
hypothesis.settings.register_profile(
    "ntm_jax", deadline=None, derandomize=True, max_examples=20, database=None
)
hypothesis.settings.load_profile("ntm_jax")


@pytest.fixture
def optax_promotion():
    """Allows implicit dtype promotion, which Adam in optax needs."""
    with jax.numpy_dtype_promotion("standard"):
        yield
