"""One of two processes is lost, interrupted, or has a full disk: the other one ends as well."""

import shutil
import signal
import time

import pytest
from support.multiprocess import ARGUMENTS, run_pair, start_pair, without_gloo
from support.runs import assert_metrics_close, metrics_lines
from support.subprocess_utils import ONE_DEVICE, assert_one_line_error, command, wait

from ntm_jax.runtime.distributed import HEARTBEAT_SECONDS
from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

LONG_RUN = (
    "--config.num_train_steps=400",
    "--config.log_every_steps=1",
    "--config.eval_every_steps=100",
    "--config.checkpoint_every_steps=4",
)
SECONDS_TO_EXIT = 15


@pytest.fixture(scope="module")
def undisturbed_lines(tmp_path_factory):
    """The metrics of an undisturbed run of two processes."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    for done in run_pair(cwd, *LONG_RUN):
        assert (done.returncode, done.stderr) == (0, "")
    return metrics_lines(cwd / "0/run")


def wait_for_checkpoint(workdir, processes):
    """Waits until there is a checkpoint and a newer line of metrics."""
    while not Checkpoints(workdir).steps():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    num_lines = len(run_dir.read_metrics(workdir))
    while len(run_dir.read_metrics(workdir)) == num_lines:
        time.sleep(0.01)


def assert_resumes(cwd, undisturbed_lines):
    first, second = run_pair(cwd, *LONG_RUN)
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert without_gloo(second.stdout) == ""
    assert "resumed at step" in first.stdout
    assert metrics_lines(cwd / "0/run") == undisturbed_lines


# A stopped process keeps its connections open, and only misses heartbeats.
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("lost", [0, 1])
def test_lost_process(undisturbed_lines, tmp_path, lost, number, capsys):
    with start_pair(tmp_path, *LONG_RUN) as processes:
        wait_for_checkpoint(tmp_path / "0/run", processes)
        processes[lost].send_signal(number)
        start_time = time.monotonic()
        other = wait(processes[1 - lost], timeout=HEARTBEAT_SECONDS + SECONDS_TO_EXIT)
        seconds = time.monotonic() - start_time
    with capsys.disabled():
        print(f"\nprocess {lost} {number.name}: the other one ended after {seconds:.1f} s")
    assert other.returncode != 0
    assert "Traceback" not in other.stderr
    assert "a process was lost" in other.stderr or "another task died" in other.stderr
    # The run directory is no longer locked.
    done = command(tmp_path / "0", *ARGUMENTS, *LONG_RUN, "--config.seed=1", **ONE_DEVICE)
    assert "holds a run with another config" in done.stderr
    assert_resumes(tmp_path, undisturbed_lines)


@pytest.mark.parametrize("receiver", [0, 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_stops_both(undisturbed_lines, tmp_path, receiver, number, code):
    workdir = tmp_path / "0/run"
    with start_pair(tmp_path, *LONG_RUN) as processes:
        wait_for_checkpoint(workdir, processes)
        processes[receiver].send_signal(number)
        start_time = time.monotonic()
        done = [wait(process) for process in processes]
    assert time.monotonic() - start_time < 10
    assert [(each.returncode, each.stderr) for each in done] == 2 * [(code, "")]
    assert f"interrupted by {number.name}; the same command resumes" in done[0].stdout
    assert run_dir.read_metrics(workdir)[-1]["step"] == Checkpoints(workdir).steps()[-1]
    assert_resumes(tmp_path, undisturbed_lines)


def test_two_processes_resume_run_of_one(tmp_path):
    assert command(tmp_path, *ARGUMENTS, **ONE_DEVICE).returncode == 0
    expected = metrics_lines(tmp_path / "run")
    (tmp_path / "0").mkdir()
    shutil.move(tmp_path / "run", tmp_path / "0/run")
    shutil.rmtree(tmp_path / "0/run/checkpoints/12")
    first, second = run_pair(tmp_path)
    assert [(each.returncode, each.stderr) for each in (first, second)] == 2 * [(0, "")]
    assert "resumed at step 8" in first.stdout
    assert_metrics_close(metrics_lines(tmp_path / "0/run"), expected)


@pytest.mark.parametrize("max_file_size", [100, 1000, 2500])
def test_full_disk_ends_both(tmp_path, max_file_size):
    first, second = run_pair(tmp_path, max_file_size=max_file_size)
    assert first.stderr.startswith("train.py: ")
    assert "File too large" in first.stderr.splitlines()[0]
    for done in (first, second):
        assert done.returncode != 0
        assert "Traceback" not in done.stderr


def test_config_mismatch_ends_both(tmp_path):
    for done in run_pair(tmp_path):
        assert done.returncode == 0
    first, second = run_pair(tmp_path, "--config.seed=5")
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr == second.stderr
    assert "seed: 0 stored, 5 given" in first.stderr


def test_indivisible_batch_ends_both(tmp_path):
    message = (
        "batch_size: expected a batch_size or num_seeds that 2 processes with 2 devices can share, "
        "got 3 and 1"
    )
    for done in run_pair(tmp_path, "--config.batch_size=3"):
        assert_one_line_error(done, "train.py", message)
