"""Killed or stopped again and again, a run ends as if nothing had been."""

import random
import signal
import time

import pytest
from support.subprocess_utils import DENSE, ROOT, command, start
from test_loop import lines, stored

from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

KILLS = 50
STOPS = 5  # of each signal
LINES = 24  # of metrics, at the most, from one to the next
ARGUMENTS = [
    DENSE,
    f"--config.num_steps={KILLS * LINES}",
    "--config.log_every=1",
    "--config.eval_every=8",
    "--config.checkpoint_every=4",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happens to."""
    cwd = tmp_path_factory.mktemp("whole")
    done = command(cwd, "train.py", *ARGUMENTS, "--workdir=run")
    assert done.returncode == 0, done.stderr
    return cwd / "run"


def at_a_random_moment(process, workdir, rng):
    """Waits until some lines of metrics were added to those that there were, and a little more."""
    process.stdout.readline()  # it has read what was there
    lines_then = len(run_dir.read_metrics(workdir)) + rng.randrange(LINES)
    while process.poll() is None and len(run_dir.read_metrics(workdir)) < lines_then:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))


def assert_it_ends_as(whole, workdir):
    done = command(workdir.parent, "train.py", *ARGUMENTS, f"--workdir={workdir}")
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(workdir) == lines(whole)
    (step, arrays), (whole_step, whole_arrays) = stored(workdir), stored(whole)
    assert step == whole_step
    for one, other in zip(arrays, whole_arrays, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_run_that_is_killed_at_random_moments_is_the_undisturbed_one(whole, tmp_path, capsys):
    rng, workdir, in_a_checkpoint = random.Random(0), tmp_path / "run", 0
    for _ in range(KILLS):
        process = start(tmp_path, "train.py", *ARGUMENTS, "--workdir=run")
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0, 5))  # before it has begun, for the most part
        else:
            at_a_random_moment(process, workdir, rng)
        process.kill()
        _, err = process.communicate()
        assert (process.returncode, err) == (-signal.SIGKILL, "")
        in_a_checkpoint += bool(list(workdir.glob("checkpoints/*.unfinished")))
    with capsys.disabled():
        print(f"\n{KILLS} kills, {in_a_checkpoint} of them in the writing of a checkpoint")
    assert in_a_checkpoint
    assert_it_ends_as(whole, workdir)


def test_a_run_that_is_stopped_at_random_moments_says_where_it_saved(whole, tmp_path, capsys):
    rng, workdir, slowest = random.Random(1), tmp_path / "run", 0.0
    for number, code in STOPS * [(signal.SIGTERM, 0), (signal.SIGINT, 130)]:
        process = start(tmp_path, "train.py", *ARGUMENTS, "--workdir=run")
        at_a_random_moment(process, workdir, rng)
        process.send_signal(number)
        since = time.monotonic()
        out, err = process.communicate()
        slowest = max(slowest, time.monotonic() - since)
        assert (process.returncode, err) == (code, "")
        assert f"interrupted by {signal.Signals(number).name}; the same command resumes" in out
        newest = Checkpoints(workdir).path(Checkpoints(workdir).steps()[-1])
        assert out.endswith(f"checkpoint {newest}\n")
    with capsys.disabled():
        print(f"\nslowest of {2 * STOPS} stops: {slowest:.1f} s")
    assert slowest < 10
    assert_it_ends_as(whole, workdir)


def test_a_run_that_compiles_does_not_make_one_wait(tmp_path):
    """Longer than ten seconds, without what the tests have switched off and kept."""
    process = start(
        tmp_path,
        "train.py",
        f"--config={ROOT / 'configs/copy_ntm.py'}",
        "--config.num_seeds=4",
        JAX_DISABLE_MOST_OPTIMIZATIONS=None,
        JAX_COMPILATION_CACHE_DIR=None,
    )
    process.stdout.readline()
    time.sleep(1)
    since = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert time.monotonic() - since < 10
    assert process.returncode == 130
    assert err.startswith("train.py: stopped before the run was saved; the same command")
    assert err.count("\n") == 1
