"""Several processes that run the same program, each with devices of its own.

Every process runs the same updates and decides the same; the first one alone, process 0, reads and
writes the run folder and shows how it goes. Where there is one process, every function here is the
plain thing: what it is given, or what the function it is given returns.
"""

import contextlib
import functools
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

__all__ = [
    "GONE",
    "HEARTBEAT_SECONDS",
    "ProcessesError",
    "agreed",
    "by_first",
    "count",
    "first_only",
    "is_first",
    "is_loss",
    "leave",
    "of_first",
    "put",
    "start",
    "whole",
]

# After so long without a sign of life a process counts as gone, and JAX ends the others.
HEARTBEAT_SECONDS = 30
_SECONDS_TO_MEET = 300  # for all processes to have started
_SECONDS_TO_PART = 3  # for all processes to have said that they end too, after an error

GONE = (
    "expected every process to go on to the end, got one that ended or was not heard of for "
    f"{HEARTBEAT_SECONDS} s; what that one said tells why. Once all are started again, they go on "
    "from the newest checkpoint"
)

_T = TypeVar("_T")


class ProcessesError(RuntimeError):
    """Processes that cannot be brought together; the message says which flag is wrong."""


def start(
    coordinator: str | None, num_processes: int | None, process_id: int | None, found: bool = False
) -> None:
    """Brings the processes of one run together. Call it before anything else of JAX runs.

    Args:
      coordinator: where process 0 listens, as host:port; None together with the next two for a run
        of one process, or one that is found.
      num_processes: how many there are, at least 1.
      process_id: which of them this is, from 0.
      found: whether JAX asks SLURM, Kubernetes or whatever started the processes for the three.

    Raises:
      ProcessesError: the flags do not fit together, or the processes did not meet.
    """
    given = (coordinator, num_processes, process_id)
    if not found and given == (None, None, None):
        return
    _check(coordinator, num_processes, process_id, found)
    _in_one_line()
    # It would keep SIGTERM to itself.
    jax.config.update("jax_enable_preemption_service", False)
    at_home = coordinator and coordinator.rpartition(":")[0] in ("127.0.0.1", "localhost")
    try:
        jax.distributed.initialize(
            *given,
            cluster_detection_method=None if found else "deactivate",
            initialization_timeout=_SECONDS_TO_MEET,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            # Whoever reaches the port can end the run: no other machine where none takes part.
            coordinator_bind_address=coordinator if at_home else None,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ProcessesError(
            ("--distributed" if found else "--coordinator")
            + f": expected {'processes' if num_processes is None else num_processes} that meet "
            f"within {_SECONDS_TO_MEET} s, got: {' '.join(str(error).split()) or repr(error)}"
        ) from error
    if jax.device_count() != jax.process_count() * jax.local_device_count():
        raise ProcessesError(
            "expected as many devices in every process, got "
            f"{jax.local_device_count()} of {jax.device_count()} in process {jax.process_index()} "
            f"of {jax.process_count()}; JAX_NUM_CPU_DEVICES=1 makes it one on each CPU"
        )


def _check(
    coordinator: str | None, num_processes: int | None, process_id: int | None, found: bool
) -> None:
    """Raises an error for flags that do not fit together."""
    given = {
        "--coordinator": coordinator,
        "--num_processes": num_processes,
        "--process_id": process_id,
    }
    named = [name for name, value in given.items() if value is not None]
    if found and named:
        raise ProcessesError(f"--distributed: expected it alone, got {', '.join(named)} beside it")
    missing = [name for name in given if not found and name not in named]
    if missing:
        raise ProcessesError(f"{', '.join(missing)}: expected with {', '.join(named)}, got none")
    if coordinator is None or num_processes is None or process_id is None:
        return  # found: by now all three are given, or none is
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ProcessesError(
            f"--coordinator: expected host:port, such as 10.0.0.1:1234, got {coordinator!r}"
        )
    if num_processes < 1:
        raise ProcessesError(f"--num_processes: expected at least 1, got {num_processes}")
    if not 0 <= process_id < num_processes:
        raise ProcessesError(
            f"--process_id: expected one from 0 to {num_processes - 1}, got {process_id}"
        )


def _in_one_line() -> None:
    """From now on, what JAX says where another process is gone becomes one line.

    JAX ends this process then, from a thread of its own and with a dozen lines, and Python has no
    part in it; so a small process reads along at standard error. JAX's part of standard output goes
    there too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader = subprocess.Popen(
        [sys.executable, "-IS", str(Path(__file__).with_name("last_words.py")), GONE],
        stdin=subprocess.PIPE,
        stdout=2,
        start_new_session=True,  # Ctrl-C is not for it
    )
    sys.stdout = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding)
    assert reader.stdin is not None
    with reader.stdin as pipe:
        os.dup2(pipe.fileno(), 1)
        os.dup2(pipe.fileno(), 2)
    reader.returncode = 0  # it ends after this process: nobody waits for it


def count() -> int:
    """How many processes there are."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that reads and writes files."""
    return count() == 1 or jax.process_index() == 0


def is_loss(error: Exception) -> bool:
    """Whether this is what JAX says where another process is gone, such as "UNKNOWN: Gloo ..."."""
    status = re.match(r"([A-Z_]+): ", str(error))
    return count() > 1 and status is not None and status[1] != "RESOURCE_EXHAUSTED"


def first_only(function: Callable[..., None]) -> Callable[..., None]:
    """The function in process 0; in the others it does nothing."""

    @functools.wraps(function)
    def maybe(*arguments: Any) -> None:
        if is_first():
            function(*arguments)

    return maybe


def by_first(function: Callable[..., _T], *arguments: Any) -> _T:
    """Calls the function in process 0 alone; what it returns or raises, it does in every process.

    All processes have to call this, in the same order. What is returned is anything that pickle
    takes, without arrays of JAX.
    """
    if count() == 1:
        return function(*arguments)
    result: Any = None
    error: Exception | None = None
    if is_first():
        try:
            result = function(*arguments)
        except Exception as raised:
            error = raised
    sent_result, sent_error = of_first((result, error))
    if stopped := error or sent_error:
        raise stopped
    return result if is_first() else sent_result


def of_first(value: _T) -> _T:
    """The value as process 0 has it, in every process."""
    if count() == 1:
        return value
    sent = pickle.dumps(value) if is_first() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(sent))))
    # Of few sizes: each is a program.
    content = np.zeros(1 << max(12, size.bit_length()), np.uint8)
    content[: len(sent)] = np.frombuffer(sent, np.uint8)
    content = multihost_utils.broadcast_one_to_all(content)
    return pickle.loads(content[:size].tobytes())


def agreed(received: Sequence[str]) -> str | None:
    """A signal that any of the processes has received, the same for all; None if there is none.

    All processes have to call this, in the same order: one that stops alone would leave the others
    waiting for it.

    Args:
      received: names of those that this process has received.
    """
    if count() == 1:
        return received[0] if received else None
    number = np.int32(signal.Signals[received[0]] if received else 0)
    largest = int(np.max(multihost_utils.process_allgather(number)))
    return signal.Signals(largest).name if largest else None


def whole(tree: Any) -> Any:
    """The tree with every array such that this process can read all of it.

    All processes have to call this, in the same order.
    """
    return jax.tree.map(_whole, tree)


def _whole(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if leaf.is_fully_replicated:
        return np.asarray(leaf.addressable_data(0))
    return multihost_utils.process_allgather(leaf, tiled=True)


def put(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    """Puts arrays that all processes have on the devices of all of them."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put_leaf(leaf: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put_leaf, jax.device_get(whole(tree)))


def leave(status: int | str) -> None:
    """Ends this process as `sys.exit` does, where there are several; with one it does nothing.

    The others are told and waited for, but not for long after an error: some may be gone, or wait
    for this one.
    """
    if count() == 1:
        return
    seconds = HEARTBEAT_SECONDS
    if isinstance(status, str):
        print(status, file=sys.stderr, flush=True)
        seconds, status = _SECONDS_TO_PART, 1
    parting = threading.Thread(target=_part, daemon=True)
    parting.start()
    parting.join(seconds)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _part() -> None:
    with contextlib.suppress(RuntimeError):  # of those that are gone
        jax.distributed.shutdown()
