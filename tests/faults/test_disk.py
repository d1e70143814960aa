"""A disk that takes no more: one clear line, and the older checkpoints as they were."""

import resource
import shutil
import subprocess

from support import subprocess_utils
import pytest
from support.subprocess_utils import DENSE, command
from test_checkpoints import files, same
from test_loop import lines, stored

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

# Bytes in a file: the config, the log, metrics and the parts of a checkpoint are of these sizes.
LIMITS = [100, 400, 1000, 1500, 2500]
ROOMS = [0, 4, 8, 64, 500]  # KiB that are left, at the start
# Sums are added up as here; and no warnings of a cache of compilations that takes no more.
ENVIRONMENT = {"JAX_NUM_CPU_DEVICES": "1", "PYTHONWARNINGS": "ignore"}
TRAIN = ("train.py", DENSE, "--workdir=run")

_FILLED = """
mount -t tmpfs -o size=$1k none disk && cp -r run disk && cd disk && shift || exit 3
"$@"
code=$?
cp -r run ../after && exit $code
"""


@pytest.fixture
def cut_short(copy):
    """A run after eight of its twelve updates."""
    workdir = copy()
    shutil.rmtree(workdir / "checkpoints/12")
    return workdir


def contents(workdir):
    """Every byte of the checkpoint of eight updates."""
    checkpoint = workdir / "checkpoints/8"
    return {name: (checkpoint / name).read_bytes() for name in files(checkpoint)}


def assert_one_line(done, said):
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("train.py: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def assert_it_goes_on(workdir, whole):
    """Once nothing is in its way any more."""
    done = command(workdir.parent, "train.py", DENSE, f"--workdir={workdir}", **ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "resumed after 8 updates" in done.stdout
    assert lines(workdir) == lines(whole)
    assert same(stored(workdir), stored(whole))


@pytest.mark.parametrize("limit", LIMITS)
def test_a_file_that_may_not_grow_is_as_a_full_disk(cut_short, whole, limit):
    """On any Linux. First a run from its start, then the one that was cut short."""
    before = contents(cut_short)
    for name, last in (("new", "none yet"), ("run", str(cut_short / "checkpoints/8"))):
        arguments = ("train.py", DENSE, f"--workdir={name}")
        done = command(cut_short.parent, *arguments, limit=limit, **ENVIRONMENT)
        assert_one_line(done, "File too large")
        assert f"last good checkpoint: {last}" in done.stderr
    assert contents(cut_short) == before
    assert_it_goes_on(cut_short, whole)


@pytest.mark.parametrize("room", ROOMS)
def test_a_full_disk(cut_short, whole, room):
    """A small one in memory, where a user may mount one."""
    folder = cut_short.parent
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    (folder / "disk").mkdir()
    mount = [*alone, "mount", "-t", "tmpfs", "none", folder / "disk"]
    if shutil.which("unshare") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    sizes = [(cut_short / name).stat().st_size for name in files(cut_short)]
    pages = sum(-(-size // 4096) for size in sizes)
    done = subprocess.run(
        [*alone, "sh", "-c", _FILLED, "sh", str(4 * pages + room), *subprocess_utils.argv(*TRAIN)],
        cwd=folder,
        env=subprocess_utils.environment(**ENVIRONMENT),
        capture_output=True,
        text=True,
    )
    assert_one_line(done, "No space left on device")
    assert f"last good checkpoint: {folder}/disk/run/checkpoints/8" in done.stderr
    assert contents(folder / "after") == contents(cut_short)
    assert_it_goes_on(folder / "after", whole)


@pytest.mark.parametrize("place", [".", "checkpoints"])
def test_a_folder_that_may_not_be_written_to(cut_short, whole, place):
    before = contents(cut_short)
    (cut_short / place).chmod(0o555)
    done = command(cut_short.parent, *TRAIN, limit=resource.RLIM_INFINITY, **ENVIRONMENT)
    assert_one_line(done, "Permission denied")
    assert f"last good checkpoint: {cut_short / 'checkpoints/8'}" in done.stderr
    (cut_short / place).chmod(0o755)
    assert contents(cut_short) == before
    assert_it_goes_on(cut_short, whole)


def test_a_second_run_in_the_folder_is_refused_and_the_first_goes_on(tmp_path):
    arguments = (*TRAIN, "--config.num_steps=1000000")
    first = subprocess_utils.start(tmp_path, *arguments)
    first.stdout.readline()
    assert_one_line(command(tmp_path, *arguments), "got one in which another process does")
    assert first.poll() is None
    first.kill()
    first.communicate()
    third = subprocess_utils.start(tmp_path, *arguments)
    assert third.stdout.readline()
    third.kill()
    assert third.communicate()[1] == ""
