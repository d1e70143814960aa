"""Runs the scripts as subprocesses."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The --config of a run that trains in seconds and compiles little.
TINY_CONFIG = f"--config={ROOT / 'tests/support/tiny_config.py'}"
# One device per process, so that runs agree bit for bit. Programs over the file size limit are not
# cached, with a warning.
ONE_DEVICE = {"JAX_NUM_CPU_DEVICES": "1", "PYTHONWARNINGS": "ignore"}

_LIMIT_FILE_SIZE = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[1]),))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextlib.contextmanager
def files_no_larger_than(size):
    """Makes writes beyond `size` bytes of a file fail in this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def environment(**changes):
    """Returns the environment with changes; None removes a variable."""
    # 80 columns, as without a terminal.
    changed = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **changes}
    return {name: value for name, value in changed.items() if value is not None}


def start(cwd, script, *arguments, max_file_size=None, **changes):
    """Starts a script, given relative to the repository; `changes` are environment variables."""
    limit = [] if max_file_size is None else ["-c", _LIMIT_FILE_SIZE, str(max_file_size)]
    return subprocess.Popen(
        [sys.executable, *limit, str(ROOT / script), *arguments],
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process, timeout=300):
    """Waits for a process to end; returns its status and output."""
    out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def command(cwd, script, *arguments, **options):
    """Runs a script to its end; see `start`."""
    return wait(start(cwd, script, *arguments, **options))


def assert_one_line_error(done, script, message):
    """Asserts that a script failed with one line on standard error that contains the message."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"{script}: "), done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
