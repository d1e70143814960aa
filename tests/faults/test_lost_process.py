"""One of two processes killed or stopped, or its disk full: the other ends too, and says why."""

import shutil
import signal
import time

import pytest
from support.multiprocess import ALONE, ARGUMENTS, pair, run_pair
from support.subprocess_utils import command, ended
from test_distributed import assert_alike
from test_loop import lines

from ntm_jax.runtime import distributed
from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

LONG = (
    "--config.num_steps=400",
    "--config.log_every=1",
    "--config.eval_every=100",
    "--config.checkpoint_every=4",
)
SLACK = 15  # seconds for a process to end once it has noticed


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """The metrics of a long run of two processes that nothing happens to."""
    cwd = tmp_path_factory.mktemp("long")
    for done in run_pair(cwd, *LONG):
        assert (done.returncode, done.stderr) == (0, "")
    return lines(cwd / "0/run")


def wait_for_checkpoint(cwd, running):
    """Until there is one, and an update after it."""
    run = cwd / "0/run"
    while not Checkpoints(run).steps():
        assert all(process.poll() is None for process in running)
        time.sleep(0.01)
    count = len(run_dir.read_metrics(run))
    while len(run_dir.read_metrics(run)) == count:
        time.sleep(0.01)


def assert_it_ends_as(long, cwd):
    first, second = run_pair(cwd, *LONG)
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert "resumed after" in first.stdout
    assert lines(cwd / "0/run") == long


@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_is_killed_the_other_ends_in_time_and_both_go_on(long, tmp_path, victim, capsys):
    with pair(tmp_path, *LONG) as running:
        wait_for_checkpoint(tmp_path, running)
        running[victim].kill()
        since = time.monotonic()
        other = ended(running[1 - victim], timeout=distributed.HEARTBEAT_SECONDS + SLACK)
        waited = time.monotonic() - since
    with capsys.disabled():
        print(f"\nprocess {victim} killed, the other ended after {waited:.1f} s")
    assert other.returncode != 0
    assert other.stderr.startswith(f"train.py: {distributed.GONE}")
    assert other.stderr.count("\n") == 1
    # Its folder is locked no more.
    alone = command(tmp_path / "0", *ARGUMENTS, *LONG, "--config.seed=1", **ALONE)
    assert "holds a run of another config" in alone.stderr
    assert_it_ends_as(long, tmp_path)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_to_one_stops_both_with_a_checkpoint(long, tmp_path, victim, number, code):
    with pair(tmp_path, *LONG) as running:
        wait_for_checkpoint(tmp_path, running)
        running[victim].send_signal(number)
        since = time.monotonic()
        done = [ended(process) for process in running]
    assert time.monotonic() - since < 10
    assert [(each.returncode, each.stderr) for each in done] == 2 * [(code, "")]
    assert f"interrupted by {number.name}; the same command resumes" in done[0].stdout
    newest = Checkpoints(tmp_path / "0/run").steps()[-1]
    assert run_dir.read_metrics(tmp_path / "0/run")[-1]["step"] == newest
    assert_it_ends_as(long, tmp_path)


def test_two_go_on_where_one_was(tmp_path):
    assert command(tmp_path, *ARGUMENTS, **ALONE).returncode == 0
    whole = lines(tmp_path / "run")
    (tmp_path / "0").mkdir()
    shutil.move(tmp_path / "run", tmp_path / "0/run")
    shutil.rmtree(tmp_path / "0/run/checkpoints/12")
    first, second = run_pair(tmp_path)
    assert [(each.returncode, each.stderr) for each in (first, second)] == 2 * [(0, "")]
    assert "resumed after 8 updates" in first.stdout
    assert_alike(lines(tmp_path / "0/run"), whole)


@pytest.mark.parametrize("limit", [100, 1000, 2500])
def test_a_full_disk_of_the_first_ends_both(tmp_path, limit):
    first, second = run_pair(tmp_path, limit=limit)
    for done in (first, second):
        assert done.returncode != 0
        assert done.stderr.startswith("train.py: ")
        assert done.stderr.count("\n") == 1
    assert "File too large" in first.stderr


def test_a_run_of_another_config_is_refused_in_both_with_the_same_lines(tmp_path):
    for done in run_pair(tmp_path):
        assert done.returncode == 0
    first, second = run_pair(tmp_path, "--config.seed=5")
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr == second.stderr
    assert "seed: 0 there, 5 now" in first.stderr


def test_a_batch_that_two_cannot_share_is_refused(tmp_path):
    for done in run_pair(tmp_path, "--config.batch_size=3"):
        assert done.returncode == 1
        assert done.stderr == (
            "train.py: batch_size: expected one, or a num_seeds, that 2 processes with 2 devices "
            "can share, got 3 and 1\n"
        )
