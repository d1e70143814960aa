"""A run that is killed or interrupted many times equals an uninterrupted one, bit for bit."""

import random
import signal
import time

import pytest
from support.runs import assert_same_run
from support.subprocess_utils import TINY_CONFIG, command, start

from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

NUM_KILLS = 50
NUM_STOPS = 5  # per signal
LINES_PER_KILL = 24  # of metrics, at most
ARGUMENTS = [
    TINY_CONFIG,
    f"--config.num_train_steps={NUM_KILLS * LINES_PER_KILL}",
    "--config.log_every_steps=1",
    "--config.eval_every_steps=8",
    "--config.checkpoint_every_steps=4",
]


@pytest.fixture(scope="module")
def uninterrupted_run(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("uninterrupted")
    done = command(cwd, "train.py", *ARGUMENTS, "--workdir=run")
    assert done.returncode == 0, done.stderr
    return cwd / "run"


def wait_for_random_moment(process, workdir, rng):
    """Waits until some more lines of metrics are written, and a little longer."""
    process.stdout.readline()  # the earlier lines have been read
    num_lines = len(run_dir.read_metrics(workdir)) + rng.randrange(LINES_PER_KILL)
    while process.poll() is None and len(run_dir.read_metrics(workdir)) < num_lines:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))


def assert_completes_as(uninterrupted_run, workdir):
    done = command(workdir.parent, "train.py", *ARGUMENTS, f"--workdir={workdir}")
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_run(workdir, uninterrupted_run)


def test_killed_run_is_bit_exact(uninterrupted_run, tmp_path, capsys):
    rng, workdir, num_unfinished = random.Random(0), tmp_path / "run", 0
    for _ in range(NUM_KILLS):
        process = start(tmp_path, "train.py", *ARGUMENTS, "--workdir=run")
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0, 2))  # usually before training starts
        else:
            wait_for_random_moment(process, workdir, rng)
        process.kill()
        _, err = process.communicate()
        assert (process.returncode, err) == (-signal.SIGKILL, "")
        num_unfinished += bool(list(workdir.glob("checkpoints/*.unfinished")))
    with capsys.disabled():
        print(f"\n{NUM_KILLS} kills, {num_unfinished} of them while a checkpoint was written")
    assert num_unfinished
    assert_completes_as(uninterrupted_run, workdir)


def test_interrupted_run_is_bit_exact(uninterrupted_run, tmp_path, capsys):
    rng, workdir, slowest = random.Random(1), tmp_path / "run", 0.0
    for number, code in NUM_STOPS * [(signal.SIGTERM, 143), (signal.SIGINT, 130)]:
        process = start(tmp_path, "train.py", *ARGUMENTS, "--workdir=run")
        wait_for_random_moment(process, workdir, rng)
        process.send_signal(number)
        start_time = time.monotonic()
        out, err = process.communicate()
        slowest = max(slowest, time.monotonic() - start_time)
        assert (process.returncode, err) == (code, "")
        assert f"interrupted by {signal.Signals(number).name}; the same command resumes" in out
        newest = Checkpoints(workdir).path(Checkpoints(workdir).steps()[-1])
        assert out.endswith(f"checkpoint {newest}\n")
    with capsys.disabled():
        print(f"\nslowest of {2 * NUM_STOPS} stops: {slowest:.1f} s")
    assert slowest < 10
    assert_completes_as(uninterrupted_run, workdir)
