"""Faults in short; tests/faults has them at length, with `-m slow`."""

import re
import signal
import time

import pytest
from support.subprocess_utils import DENSE, start
from test_loop import lines, stored
from support.tiny_config import tiny_config

from ntm_jax.training import run_dir, loop
from ntm_jax.training.checkpoints import Checkpoints

pytestmark = pytest.mark.usefixtures("optax_promotion")


def test_a_run_that_is_killed_and_stopped_is_the_undisturbed_one(tmp_path):
    config, workdir = tiny_config("dense"), tmp_path / "run"
    config.num_steps = 60
    # As many devices as the tests have: sums over several differ in the last bit.
    arguments = ["train.py", DENSE, f"--config.num_steps={config.num_steps}", "--workdir=run"]
    process = start(tmp_path, *arguments, JAX_NUM_CPU_DEVICES="1")
    while process.poll() is None and not Checkpoints(workdir).steps():
        time.sleep(0.01)
    with pytest.raises(run_dir.RunError, match="another process does; wait for its end, or give"):
        loop.train(config, workdir)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    process = start(tmp_path, *arguments, JAX_NUM_CPU_DEVICES="1")
    assert re.search("resumed after [0-9]+ updates", process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    since = time.monotonic()
    out, err = process.communicate()
    assert time.monotonic() - since < 10
    assert (process.returncode, err) == (0, "")
    step = Checkpoints(workdir).steps()[-1]
    assert "interrupted by SIGTERM; the same command resumes" in out
    assert out.endswith(f"checkpoint {Checkpoints(workdir).path(step)}\n")

    loop.train(config, workdir)
    loop.train(config, tmp_path / "whole")
    assert lines(workdir) == lines(tmp_path / "whole")
    (step, arrays), (whole_step, whole_arrays) = stored(workdir), stored(tmp_path / "whole")
    assert step == whole_step == config.num_steps
    for one, other in zip(arrays, whole_arrays, strict=True):
        assert one.tobytes() == other.tobytes()
