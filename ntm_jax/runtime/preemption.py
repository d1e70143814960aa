"""Ctrl-C and SIGTERM: noted, so that a run is saved first; and a limit to how long it takes."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from rich.console import Console

__all__ = ["leave_within", "noted"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def noted() -> Iterator[list[str]]:
    """While it is entered, the first Ctrl-C or SIGTERM is noted in the list."""
    received: list[str] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    # Only the main thread may; elsewhere the caller stops the run.
    if threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for taken, handler in before.items():
            signal.signal(taken, handler)


def leave_within(seconds: float, line: str) -> None:
    """From now on, the process ends so long after the first Ctrl-C or SIGTERM, or with the second.

    For scripts, whose process it is. The handlers above wait for what JAX compiles; nobody else
    wants to.

    Args:
      seconds: for saving what can be saved.
      line: what to say if they were not enough.
    """
    listening, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)

    def wait(woken: socket.socket) -> None:
        while (first := listening.recv(1)[0]) not in _NUMBERS:
            pass
        listening.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            listening.recv(1)
        Console().show_cursor()  # a bar hides it
        print(line, file=sys.stderr, flush=True)
        os._exit(130 if first == signal.SIGINT else 0)

    # The thread holds the sockets.
    threading.Thread(target=wait, args=(woken,), daemon=True).start()
