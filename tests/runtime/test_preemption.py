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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_every_signal_is_recorded(name):
    with capture_signals() as received:
        os.kill(os.getpid(), signal.Signals[name])
    assert received == [name]


def test_another_kind_is_recorded_too():
    """systemd sends SIGHUP right after SIGTERM."""
    with capture_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
    assert received == ["SIGTERM", "SIGHUP"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ignored_signal_stays_ignored(number):
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        with capture_signals() as received:
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) is signal.SIG_IGN
        assert (received, signal.getsignal(number)) == ([], signal.SIG_IGN)
    finally:
        signal.signal(number, previous)


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
