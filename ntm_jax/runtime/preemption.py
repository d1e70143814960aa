"""Captures signals that stop a process, so that a run can be saved before it exits."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["capture_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextlib.contextmanager
def capture_signals() -> Iterator[list[str]]:
    """Records SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGUSR1 in place of stopping the process.

    After the first one, a SIGINT and a signal of the same kind stop the process as usual. A signal
    that the process ignores, such as SIGHUP under nohup, stays ignored. Outside the main thread,
    where Python allows no signal handlers, nothing is captured.

    Yields:
      A list to which the name of each captured signal is appended, such as "SIGTERM".
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # None: a handler that was not installed from Python.
    previous = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}

    def record(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(signal.Signals(number).name)
        # systemd sends SIGHUP right after SIGTERM: other kinds are still recorded.
        for restored in previous.keys() & {number, signal.SIGINT}:
            signal.signal(restored, previous[restored])

    for number in previous:
        signal.signal(number, record)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
