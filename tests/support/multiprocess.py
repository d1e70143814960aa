"""Runs train.py as two processes, each in its own directory: they share no disk."""

import contextlib
import socket

from support.subprocess_utils import ONE_DEVICE, TINY_CONFIG, start, wait

ARGUMENTS = ("train.py", TINY_CONFIG, "--workdir=run")


@contextlib.contextmanager
def start_pair(cwd, *arguments, max_file_size=None):
    """Starts processes 0 and 1 in `cwd`/0 and `cwd`/1, and kills them at the end.

    `max_file_size` limits the files of process 0.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    processes = []
    try:
        for index in range(2):
            (cwd / str(index)).mkdir(exist_ok=True)
            processes.append(
                start(
                    cwd / str(index),
                    *ARGUMENTS,
                    f"--coordinator=127.0.0.1:{port}",
                    "--num_processes=2",
                    f"--process_id={index}",
                    *arguments,
                    max_file_size=max_file_size if index == 0 else None,
                    **ONE_DEVICE,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def run_pair(cwd, *arguments, **options):
    """Runs both processes to their end; see `start_pair`."""
    with start_pair(cwd, *arguments, **options) as processes:
        return [wait(process) for process in processes]


def without_gloo(text):
    """Returns the output without the lines that Gloo prints when the processes connect."""
    return "".join(line for line in text.splitlines(True) if not line.startswith("[Gloo]"))
