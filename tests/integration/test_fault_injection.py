"""A run that is killed and interrupted; tests/faults has many more faults, with `-m slow`."""

import signal
import time

import pytest
from support.runs import assert_same_run, stored_checkpoint
from support.subprocess_utils import TINY_CONFIG, start
from support.tiny_config import tiny_config

from ntm_jax.training import loop, run_dir
from ntm_jax.training.checkpoints import Checkpoints

pytestmark = pytest.mark.usefixtures("optax_promotion")


def test_killed_and_interrupted_run_is_bit_exact(tmp_path):
    config, workdir = tiny_config("per_step_dense"), tmp_path / "run"
    config.num_train_steps = 60
    arguments = ["train.py", TINY_CONFIG, "--config.num_train_steps=60", "--workdir=run"]
    # As many devices as in this process: more change the order of sums.
    process = start(tmp_path, *arguments, JAX_NUM_CPU_DEVICES="1")
    while process.poll() is None and not Checkpoints(workdir).steps():
        time.sleep(0.01)
    with pytest.raises(run_dir.RunError, match="is locked by another training process"):
        loop.train(config, workdir)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    process = start(tmp_path, *arguments, JAX_NUM_CPU_DEVICES="1")
    assert "resumed at step" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    start_time = time.monotonic()
    out, err = process.communicate()
    assert time.monotonic() - start_time < 10
    assert (process.returncode, err) == (143, "")
    step = Checkpoints(workdir).steps()[-1]
    assert "interrupted by SIGTERM; the same command resumes" in out
    assert out.endswith(f"checkpoint {Checkpoints(workdir).path(step)}\n")

    loop.train(config, workdir)
    loop.train(config, tmp_path / "uninterrupted")
    assert_same_run(workdir, tmp_path / "uninterrupted")
    assert stored_checkpoint(workdir)[0] == config.num_train_steps
