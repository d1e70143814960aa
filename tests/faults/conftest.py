import shutil

import jax
import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import loop


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run to its end that nothing happens to, with checkpoints of 8 and 12 updates."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    with jax.numpy_dtype_promotion("standard"):
        loop.train(tiny_config("dense"), workdir)
    return workdir


@pytest.fixture
def copy(whole, tmp_path):
    """Makes a folder that is a copy of the run, anew each time."""

    def make():
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return shutil.copytree(whole, tmp_path / "run")

    return make
