import os
import signal
import threading

import pytest

from ntm_jax.runtime.preemption import capture_signals


def test_first_signal_is_recorded():
    with capture_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == ["SIGTERM"]
        # The second one has its usual effect.
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert received == ["SIGTERM"]


def test_handlers_are_restored():
    previous = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with capture_signals() as received:
        assert signal.getsignal(signal.SIGINT) != previous[0]
    assert received == []
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == previous


def test_other_threads_capture_nothing():
    handlers = []

    def enter():
        with capture_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
