"""The environment of a measurement: host, versions, flags, and the load of other processes."""

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.cli import ROOT, host

__all__ = ["RESULTS", "record", "versions"]

RESULTS = ROOT / "benchmarks" / "results"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "attrs")
_VARIABLES = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "JAX_PLATFORMS", "OMP_NUM_THREADS")


@contextlib.contextmanager
def record(command: str, flag_holders: Sequence[flags.FlagHolder] = ()) -> Iterator[dict[str, Any]]:
    """Records the environment of what is measured inside the context.

    Args:
      command: the command of the measurement.
      flag_holders: the flags that determine what is measured.

    Yields:
      The record, complete when the context ends. `other_load` is the fraction of the CPU time of
      all cores that other processes used, or None where /proc/stat is missing.
    """
    environment: dict[str, Any] = {
        "command": command,
        "host": host(),
        "versions": versions(),
        "flags": {flag.name: flag.value for flag in flag_holders},
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "load_average_before": os.getloadavg()[0],
    }
    start, all_before, own_before = time.monotonic(), _cpu_seconds(), sum(os.times()[:4])
    yield environment
    elapsed = time.monotonic() - start
    environment["seconds"] = round(elapsed, 1)
    environment["load_average_after"] = os.getloadavg()[0]
    environment["other_load"] = None
    if all_before is not None:
        others = (_cpu_seconds() - all_before) - (sum(os.times()[:4]) - own_before)
        environment["other_load"] = round(max(0.0, others / (elapsed * os.cpu_count())), 3)


def versions() -> dict[str, str]:
    """Returns the versions of the installed packages that affect measurements."""
    installed = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def _cpu_seconds() -> float | None:
    """Returns the seconds that all cores of the host were busy since its start."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    ticks = [int(word) for word in path.read_text().splitlines()[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = ticks[:8]
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy / os.sysconf("SC_CLK_TCK")
