"""What a result comes from: command, code, versions, host, devices and date."""

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

__all__ = ["FIELDS", "provenance"]

FIELDS = ("command", "date", "git", "versions", "host", "devices")

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_SOURCE = Path(__file__).parents[1]


def provenance() -> dict[str, Any]:
    """Returns how and where this process computes.

    Returns:
      A dict for a JSON file with the keys `FIELDS`. "date" is in UTC, as ISO 8601; "git" has the
      commit of the checkout of ntm_jax, and whether its tracked files are unchanged, or is None for
      an installed package.
    """
    return {
        "command": " ".join(shlex.join(["python", *sys.argv]).split()),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": _git(),
        "versions": {
            "python": platform.python_version(),
            "ntm_jax": sys.modules["ntm_jax"].__version__,
            **{name: _version(name) for name in _PACKAGES},
        },
        "host": f"{platform.node()}, {platform.platform()}",
        "devices": sorted({device.device_kind for device in jax.devices()}),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(_SOURCE), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "cell.py")  # not those of a project around the package
        changes = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD"), "clean": not changes}
    except (OSError, subprocess.CalledProcessError):
        return None
