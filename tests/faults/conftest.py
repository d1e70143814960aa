import shutil

import jax
import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import loop


@pytest.fixture(scope="session")
def complete_run(tmp_path_factory):
    """An undisturbed run, with checkpoints of steps 8 and 12."""
    workdir = tmp_path_factory.mktemp("complete") / "run"
    with jax.numpy_dtype_promotion("standard"):
        loop.train(tiny_config("per_step_dense"), workdir)
    return workdir


@pytest.fixture
def copy_run(complete_run, tmp_path):
    """Replaces `run` in `tmp_path` by a copy of the complete run, and returns its path."""

    def copy():
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return shutil.copytree(complete_run, tmp_path / "run")

    return copy
