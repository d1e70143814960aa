"""Captures SIGINT and SIGTERM, so that a run can be saved before it exits."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["capture_signals"]


@contextlib.contextmanager
def capture_signals() -> Iterator[list[str]]:
    """Records the first SIGINT (Ctrl-C) or SIGTERM in place of stopping the process.

    The second signal of the same kind stops the process as usual. Outside the main thread, where
    Python allows no signal handlers, nothing is captured.

    Yields:
      A list to which the name of each captured signal is appended: "SIGINT" or "SIGTERM".
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore_handlers() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def record(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(signal.Signals(number).name)
        restore_handlers()

    for number in previous:
        signal.signal(number, record)
    try:
        yield received
    finally:
        restore_handlers()
