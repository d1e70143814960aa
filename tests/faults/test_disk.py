"""Disks that cannot be written to: one line of error, and the older checkpoints unchanged."""

import os
import shutil
import subprocess
import sys

import pytest
from support.runs import assert_same_run, checkpoint_files
from support.subprocess_utils import (
    ONE_DEVICE,
    ROOT,
    TINY_CONFIG,
    assert_one_line_error,
    command,
    environment,
    start,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

TRAIN = ("train.py", TINY_CONFIG, "--workdir=run")

# Arguments: size of the disk in KiB, command. Copies the run from the disk to ../after.
FULL_DISK_SCRIPT = """
mount -t tmpfs -o size=$1k none disk && cp -r run disk && cd disk && shift || exit 3
"$@"
code=$?
cp -r run ../after && exit $code
"""


@pytest.fixture
def partial_run(copy_run):
    """A run with a checkpoint of step 8 of 12."""
    workdir = copy_run()
    shutil.rmtree(workdir / "checkpoints/12")
    return workdir


def checkpoint_contents(workdir):
    checkpoint = workdir / "checkpoints/8"
    return {name: (checkpoint / name).read_bytes() for name in checkpoint_files(checkpoint)}


def assert_resumes(workdir, complete_run):
    arguments = ("train.py", TINY_CONFIG, f"--workdir={workdir}")
    done = command(workdir.parent, *arguments, **ONE_DEVICE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "resumed at step 8" in done.stdout
    assert_same_run(workdir, complete_run)


# In bytes: the sizes of the config, the log, the metrics and the parts of a checkpoint.
@pytest.mark.parametrize("max_file_size", [100, 400, 1000, 1500, 2500])
def test_file_size_limit(partial_run, complete_run, max_file_size):
    before = checkpoint_contents(partial_run)
    for name, latest in (("new", "none"), ("run", str(partial_run / "checkpoints/8"))):
        arguments = ("train.py", TINY_CONFIG, f"--workdir={name}")
        done = command(partial_run.parent, *arguments, max_file_size=max_file_size, **ONE_DEVICE)
        assert_one_line_error(done, "train.py", "File too large")
        assert f"latest checkpoint: {latest}" in done.stderr
    assert checkpoint_contents(partial_run) == before
    assert_resumes(partial_run, complete_run)


@pytest.mark.parametrize("free_kib", [0, 4, 8, 64, 500])
def test_full_disk(partial_run, complete_run, free_kib):
    """In a small file system in memory, if the user may mount one."""
    directory = partial_run.parent
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    (directory / "disk").mkdir()
    mount = [*namespace, "mount", "-t", "tmpfs", "none", directory / "disk"]
    if shutil.which("unshare") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    files = checkpoint_files(partial_run)
    num_pages = sum(-(-(partial_run / name).stat().st_size // 4096) for name in files)
    train = [sys.executable, str(ROOT / "train.py"), *TRAIN[1:]]
    done = subprocess.run(
        [*namespace, "sh", "-c", FULL_DISK_SCRIPT, "sh", str(4 * num_pages + free_kib), *train],
        cwd=directory,
        env=environment(**ONE_DEVICE),
        capture_output=True,
        text=True,
    )
    assert_one_line_error(done, "train.py", "No space left on device")
    assert f"latest checkpoint: {directory}/disk/run/checkpoints/8" in done.stderr
    assert checkpoint_contents(directory / "after") == checkpoint_contents(partial_run)
    assert_resumes(directory / "after", complete_run)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("name", [".", "checkpoints"])
def test_read_only_directory(partial_run, complete_run, name):
    before = checkpoint_contents(partial_run)
    (partial_run / name).chmod(0o555)
    done = command(partial_run.parent, *TRAIN, **ONE_DEVICE)
    assert_one_line_error(done, "train.py", "Permission denied")
    assert f"latest checkpoint: {partial_run / 'checkpoints/8'}" in done.stderr
    (partial_run / name).chmod(0o755)
    assert checkpoint_contents(partial_run) == before
    assert_resumes(partial_run, complete_run)


def test_locked_run_directory(tmp_path):
    arguments = (*TRAIN, "--config.num_train_steps=1000000")
    first = start(tmp_path, *arguments)
    first.stdout.readline()
    done = command(tmp_path, *arguments)
    message = f"run is locked by another training process (pid {first.pid})"
    assert_one_line_error(done, "train.py", message)
    assert first.poll() is None
    first.kill()
    first.communicate()
    # The lock ends with the process.
    third = start(tmp_path, *arguments)
    assert third.stdout.readline()
    third.kill()
    assert third.communicate()[1] == ""


def test_refused_path_creates_nothing(tmp_path):
    done = command(tmp_path, "train.py", TINY_CONFIG, "--workdir=a/[run]")
    message = "a/[run]: expected a path in which orbax can store checkpoints, got '[' in it"
    assert_one_line_error(done, "train.py", message)
    assert list(tmp_path.iterdir()) == []
