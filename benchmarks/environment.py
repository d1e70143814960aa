"""Under what a measurement was made: machine, versions, flags, and who else used the cores."""

import contextlib
import importlib.metadata
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import commands

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "attrs")
_SETTINGS = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "JAX_PLATFORMS", "OMP_NUM_THREADS")
_SHARED = 0.05  # of the cores' time: below this, a machine is as good as our own


@contextlib.contextmanager
def noted(module_flags: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Notes the conditions of what is measured inside it.

    Args:
      module_flags: the flags that decide what is measured, by name.

    Yields:
      What is to be written beside the results; complete when the context ends. `others_share` is
      the share of all cores' time that other processes used, None where the system does not tell;
      `cores_shared` says whether that is more than 5 %.
    """
    told: dict[str, Any] = {
        "machine": commands.machine(),
        "versions": versions(),
        "flags": module_flags,
        "environment": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "load_average_before": os.getloadavg()[0],
    }
    began, all_busy, own_busy = time.monotonic(), _all_busy(), _own_busy()
    yield told
    elapsed = time.monotonic() - began
    told["seconds"] = round(elapsed, 1)
    told["load_average_after"] = os.getloadavg()[0]
    told["others_share"] = told["cores_shared"] = None
    if all_busy is not None:
        others = (_all_busy() - all_busy) - (_own_busy() - own_busy)
        share = max(0.0, others / (elapsed * os.cpu_count()))
        told["others_share"], told["cores_shared"] = round(share, 3), share > _SHARED


def versions() -> dict[str, str]:
    """The version of each package that is installed, of those that matter."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def numbers(program: str, flag: flags.FlagHolder) -> list[int]:
    """The whole numbers of a list flag; ends the program with one line if there is another word."""
    if not all(word.isdecimal() and int(word) > 0 for word in flag.value):
        sys.exit(
            f"{program}: --{flag.name}: expected whole numbers greater than 0, "
            f"got {','.join(flag.value)}"
        )
    return [int(word) for word in flag.value]


def _all_busy() -> float | None:
    """Seconds that all cores of the machine were busy since it started."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    ticks = [int(word) for word in path.read_text().splitlines()[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = ticks[:8]
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy / os.sysconf("SC_CLK_TCK")


def _own_busy() -> float:
    """Seconds that this process and its ended children were busy."""
    return sum(os.times()[:4])
