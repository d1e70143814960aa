"""The scripts as processes."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A process that starts, trains and saves as any other, and compiles next to nothing.
DENSE = f"--config={ROOT / 'tests/support/tiny_config.py'}"

# A disk that is full from so many bytes in a file on; and a root who may not write everywhere.
_LIMITED = """
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[1]),))
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextlib.contextmanager
def files_no_larger_than(size):
    """The same disk, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def argv(script, *arguments, limit=None):
    """What starts a script.

    `limit` is of the bytes in a file, or resource.RLIM_INFINITY for no more than a common user's
    rights.
    """
    limited = [] if limit is None else ["-c", _LIMITED, str(limit)]
    return [sys.executable, *limited, str(ROOT / script), *arguments]


def environment(**changes):
    """Ours with other values; a variable that is None is taken out."""
    # 80 columns, as without a terminal, and nothing of JAX's own settings.
    changed = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **changes}
    return {name: value for name, value in changed.items() if value is not None}


def start(cwd, script, *arguments, limit=None, **changes):
    """A process on its way."""
    return subprocess.Popen(
        argv(script, *arguments, limit=limit),
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, timeout=300):
    """What a process said, once it has ended."""
    out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def command(cwd, script, *arguments, **options):
    """A process that has ended, with what it said."""
    return ended(start(cwd, script, *arguments, **options))
