"""Training with several processes on one or more hosts, on top of `jax.distributed`.

Every process runs the same training steps. Process 0 alone reads and writes the run directory. In a
run of one process the functions below return their input, or call the function that they are given.
"""

import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

__all__ = [
    "HEARTBEAT_SECONDS",
    "LOST_PROCESS_MESSAGE",
    "DistributedError",
    "broadcast_from_process_0",
    "check_devices",
    "fetch_to_host",
    "initialize",
    "is_lost_process_error",
    "is_process_0",
    "process_count",
    "put_on_devices",
    "run_on_process_0",
    "shutdown_and_exit",
    "sync_signal",
]

# JAX counts a process as lost after this time without a heartbeat, and aborts the others.
HEARTBEAT_SECONDS = 30
_SHUTDOWN_SECONDS = 10

LOST_PROCESS_MESSAGE = (
    "a process was lost; its own log has the reason. Restart all processes to resume from the "
    "newest checkpoint"
)

_T = TypeVar("_T")


class DistributedError(RuntimeError):
    """The processes cannot be connected, or have no devices."""


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    auto_detect: bool = False,
) -> None:
    """Connects the processes of a run. Call it before any other JAX function.

    Without arguments it does nothing: the run has one process.

    Args:
      coordinator: the address on which process 0 listens, as host:port.
      num_processes: the number of processes.
      process_id: the index of this process, from 0.
      auto_detect: whether JAX reads the three from the cluster environment, such as SLURM.

    Raises:
      DistributedError: a flag is missing or wrong, or the processes did not connect.
    """
    flags = {
        "--coordinator": coordinator,
        "--num_processes": num_processes,
        "--process_id": process_id,
    }
    given = ", ".join(name for name, value in flags.items() if value is not None)
    missing = ", ".join(name for name, value in flags.items() if value is None)
    if auto_detect and given:
        raise DistributedError(f"--distributed: expected without {given}, got both")
    if given and missing:
        raise DistributedError(f"{missing}: expected with {given}, got none")
    if not auto_detect and not given:
        return
    host = None
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise DistributedError(
                f"--coordinator: expected host:port, such as 10.0.0.1:1234, got {coordinator!r}"
            )
    # JAX's own preemption service would capture SIGTERM.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method=None if auto_detect else "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
            # The port accepts any client, so a run on one host does not open it to others.
            coordinator_bind_address=coordinator if host in ("127.0.0.1", "localhost") else None,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()) or repr(error)
        raise DistributedError(f"could not connect the processes: {reason}") from error
    check_devices()
    if jax.device_count() != jax.process_count() * jax.local_device_count():
        raise DistributedError(
            f"process {jax.process_index()}: expected as many devices as every other process, got "
            f"{jax.local_device_count()} of {jax.device_count()}; on CPU set JAX_NUM_CPU_DEVICES"
        )


def check_devices() -> None:
    """Initializes the devices.

    Raises:
      DistributedError: this host has no device of the platform in `JAX_PLATFORMS`.
    """
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:  # JAX asserts that there is a GPU
        reason = f" ({' '.join(str(error).split())})" if str(error) else ""
        raise DistributedError(
            f"JAX_PLATFORMS: expected a platform with a device, got "
            f"{jax.config.jax_platforms!r}; set "  # type: ignore[attr-defined]
            f"JAX_PLATFORMS=cpu, or install the platform, such as jax[cuda13] for cuda{reason}"
        ) from error


def process_count() -> int:
    """Returns the number of processes, without initializing the devices of a run of one."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_process_0() -> bool:
    """Returns whether this is process 0, which alone reads and writes files."""
    return process_count() == 1 or jax.process_index() == 0


def is_lost_process_error(error: Exception) -> bool:
    """Returns whether an error comes from a collective operation with a lost process.

    With several processes, this is every runtime error of JAX other than running out of memory.
    """
    if process_count() == 1:
        return False
    if isinstance(error, jax.errors.JaxRuntimeError):
        return not str(error).startswith("RESOURCE_EXHAUSTED")
    # JAX raises the errors of Gloo, the collectives on CPU, as ValueError.
    return isinstance(error, ValueError) and "Gloo" in str(error)


def run_on_process_0(function: Callable[..., _T], *args: Any) -> _T:
    """Calls a function in process 0; every process returns its result or raises its exception.

    All processes have to call this, in the same order. The result has to be picklable and to
    contain no JAX arrays.
    """
    if process_count() == 1:
        return function(*args)
    result: Any = None
    error: Exception | None = None
    if is_process_0():
        try:
            result = function(*args)
        except Exception as raised:
            error = raised
    received = broadcast_from_process_0((result, error))
    if not is_process_0():
        result, error = received
    if error is not None:
        raise error
    return result


def broadcast_from_process_0(value: _T) -> _T:
    """Returns the value that process 0 passes; it has to be picklable."""
    if process_count() == 1:
        return value
    pickled = pickle.dumps(value) if is_process_0() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(pickled))))
    # Padded to a power of two, because every size compiles another program.
    padded = np.zeros(1 << max(12, size.bit_length()), np.uint8)
    padded[: len(pickled)] = np.frombuffer(pickled, np.uint8)
    padded = multihost_utils.broadcast_one_to_all(padded)
    return pickle.loads(padded[:size].tobytes())


def sync_signal(received: Sequence[str]) -> str | None:
    """Returns the name of a signal that any process has received, or None; the same in all.

    All processes have to call this, in the same order, so that they stop after the same step.

    Args:
      received: the names of the signals that this process has received.
    """
    if process_count() == 1:
        return received[0] if received else None
    number = np.int32(signal.Signals[received[0]] if received else 0)
    largest = int(np.max(multihost_utils.process_allgather(number)))
    return signal.Signals(largest).name if largest else None


def fetch_to_host(tree: Any) -> Any:
    """Returns the tree with complete NumPy arrays in place of those split over processes.

    All processes have to call this, in the same order.
    """

    def fetch(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(fetch, tree)


def put_on_devices(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    """Puts arrays that every process has in full on the devices of all processes."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put_leaf(leaf: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put_leaf, jax.device_get(fetch_to_host(tree)))


def shutdown_and_exit(status: int | str) -> NoReturn:
    """Disconnects the processes and exits as `sys.exit(status)` does.

    If another process was lost, or does not exit within 10 seconds, JAX aborts this one.
    """
    if process_count() > 1:
        if isinstance(status, str):
            # Before the shutdown, in which JAX may abort the process.
            print(status, file=sys.stderr, flush=True)
            status = 1
        print(end="", flush=True)
        jax.distributed.shutdown()
    sys.exit(status)
