"""Two processes that train one run together, each in a folder of its own: no disk is shared."""

import contextlib
import socket

from support.subprocess_utils import DENSE, ended, start

ARGUMENTS = ("train.py", DENSE, "--workdir=run")
# One device each; and no warnings of a cache of compilations that takes no more.
ALONE = {"JAX_NUM_CPU_DEVICES": "1", "PYTHONWARNINGS": "ignore"}


def _free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextlib.contextmanager
def pair(cwd, *arguments, limit=None):
    """Processes 0 and 1 on their way, in `cwd`/0 and `cwd`/1; `limit` is of the first's files.

    Whatever happens, they have ended when it is left.
    """
    port, processes = _free_port(), []
    try:
        for number in range(2):
            (cwd / str(number)).mkdir(exist_ok=True)
            processes.append(
                start(
                    cwd / str(number),
                    *ARGUMENTS,
                    f"--coordinator=127.0.0.1:{port}",
                    "--num_processes=2",
                    f"--process_id={number}",
                    *arguments,
                    limit=limit if number == 0 else None,
                    **ALONE,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def run_pair(cwd, *arguments, **options):
    """Both, once they have ended."""
    with pair(cwd, *arguments, **options) as processes:
        return [ended(process) for process in processes]
