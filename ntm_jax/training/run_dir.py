"""The run folder: what a run writes, read back without guessing.

config.json       the config, whole
lock              held by the process that trains here
metrics.jsonl     a line every log_every updates, and a line for each evaluation
events.out.*      the same for TensorBoard
train.log         what the terminal showed
checkpoints/      parameters, optimizer state and step
summary.json      how it ended
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ntm_jax.runtime import distributed
from ntm_jax.training.config import ConfigError, flat, from_dict, validate

__all__ = [
    "RunError",
    "append_metrics",
    "flush",
    "keep_metrics_until",
    "load_config",
    "locked",
    "newest_run",
    "open_run",
    "read_metrics",
    "write_json",
    "write_summary",
]

# What a summary says of the means by which a run came where it did.
_MEANS = ("seconds", "compile_seconds", "devices", "versions")


class RunError(RuntimeError):
    """A run folder that is missing, or belongs to something else."""


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes from training in it until it is left.

    The lock ends with the process, however that ends.

    Raises:
      RunError: another process trains there.
      OSError: the folder cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{workdir}: expected a folder in which nothing trains, got one in which another "
                "process does; wait for its end, or give another --workdir"
            ) from None
        yield


def open_run(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder and stores the config, or checks that it is the one stored there.

    Raises:
      RunError: the folder holds a run of another config; the message shows the difference.
      OSError: the folder cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    if not path.exists():
        write_json(path, config.to_dict())
        return
    stored, given = flat(load_config(workdir)), flat(config)
    missing = object()
    different = [
        name
        for name in sorted(stored.keys() | given.keys())
        if stored.get(name, missing) != given.get(name, missing)
    ]
    if different:
        lines = [
            f"  {name}: {stored.get(name, 'nothing')!r} there, {given.get(name, 'nothing')!r} now"
            for name in different
        ]
        raise RunError(
            f"{workdir} holds a run of another config:\n"
            + "\n".join(lines)
            + "\nGive another --workdir, or remove that folder, or train with its config."
        )


def load_config(workdir: Path) -> ConfigDict:
    """The config that a run was made with.

    Raises:
      RunError: no run folder, or its config.json is not one that can be run.
    """
    path = Path(workdir) / "config.json"
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{workdir}: expected a run folder with a config.json, got none") from None
    except (OSError, RecursionError, ValueError) as error:
        raise RunError(
            f"{path}: expected a config as JSON, got: {error}; put it back, or remove the folder"
        ) from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a config as JSON, got {type(values).__name__}")
    config = from_dict(values)
    try:
        validate(config)
    except ConfigError as error:
        raise RunError(
            f"{path}: {error}; a run of another version of ntm_jax is evaluated with that version, "
            "or trained anew in another --workdir"
        ) from None
    return config


def newest_run(root: Path = Path("runs")) -> Path:
    """The run folder under `root` whose metrics changed last.

    Raises:
      RunError: there is none.
    """
    runs = [path.parent for path in Path(root).glob("*/config.json")]
    if not runs:
        raise RunError(
            f"{root}: expected a run folder, got none; train one with "
            "`python train.py --config=configs/copy_ntm.py`, or name one with --workdir"
        )
    return max(runs, key=_changed)


@distributed.first_only
def append_metrics(workdir: Path, line: dict[str, Any]) -> None:
    """Adds one line to metrics.jsonl."""
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl up to the first that is none, as the last after a crash may be."""
    path = workdir / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            break
        if not isinstance(said, dict) or type(said.get("step")) is not int:
            break
        lines.append(said)
    return lines


def keep_metrics_until(workdir: Path, step: int) -> list[dict[str, Any]]:
    """Removes the lines after `step`, which a resumed run writes again; returns the others.

    Raises:
      RunError: lines up to `step` are missing.
    """
    path = workdir / "metrics.jsonl"
    kept = [line for line in read_metrics(workdir) if line["step"] <= step]
    last = kept[-1]["step"] if kept else 0
    if last < step:
        raise RunError(
            f"{path}: expected lines up to update {step}, as the checkpoint is, got none after "
            f"{last}; put the file back, or train anew in another --workdir"
        )
    _replace(path, "".join(json.dumps(line) + "\n" for line in kept))
    return kept


@distributed.first_only
def flush(path: Path) -> None:
    """Waits until what was written to the file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file)


@distributed.first_only
def write_json(path: Path, value: Any) -> None:
    """Writes a whole file, or leaves the old one."""
    _replace(path, json.dumps(value, indent=2) + "\n")


def write_summary(workdir: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Writes how a run ended, and returns it.

    A run that was over already, and is started again, keeps what was said of its time and devices.
    """
    path = workdir / "summary.json"
    with contextlib.suppress(KeyError, OSError, TypeError, ValueError):
        stored = json.loads(path.read_text())
        if all(stored[name] == value for name, value in summary.items() if name not in _MEANS):
            return stored
    write_json(path, summary)
    return summary


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    flush(beside)
    os.replace(beside, path)


def _changed(run: Path) -> float:
    metrics = run / "metrics.jsonl"
    return (metrics if metrics.exists() else run / "config.json").stat().st_mtime
