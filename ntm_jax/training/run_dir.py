"""The run directory, `workdir`.

config.json       the config
lock              locked by the process that trains in this directory
metrics.jsonl     a line every `log_every_steps` training steps, and one per evaluation
events.out.*      the same for TensorBoard
train.log         console output
checkpoints/      parameters, optimizer state and step
summary.json      results at the end of training
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ntm_jax.training import legacy
from ntm_jax.training.config import ConfigError, flatten, from_dict, validate

__all__ = [
    "RunError",
    "append_metrics",
    "create_or_validate",
    "flush",
    "latest_run",
    "load_config",
    "lock",
    "read_metrics",
    "truncate_metrics",
    "write_json",
    "write_summary",
]

# Entries of a summary that differ between runs with the same results.
_RUNTIME_FIELDS = ("seconds", "compile_seconds", "devices", "versions")


class RunError(RuntimeError):
    """A run directory that is missing, locked, or holds another run."""


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Creates and locks the directory; the lock ends with the context or the process.

    Raises:
      RunError: another process trains in the directory.
      OSError: the directory cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip()
            raise RunError(
                f"{workdir} is locked by another training process"
                + (f" (pid {owner})" if owner else "")
                + "; wait for it to end, or choose another --workdir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def create_or_validate(workdir: Path, config: Any) -> None:
    """Writes config.json, or checks that the stored config equals the given one.

    Raises:
      RunError: the directory holds a run with another config; the message lists the differences.
      OSError: the directory cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    if not path.exists():
        write_json(path, config.to_dict())
        return
    stored, given = flatten(load_config(workdir)), flatten(config)
    missing = object()
    different = [
        key
        for key in sorted(stored.keys() | given.keys())
        if stored.get(key, missing) != given.get(key, missing)
    ]
    if different:
        lines = [
            f"  {key}: {stored.get(key, 'nothing')!r} stored, {given.get(key, 'nothing')!r} given"
            for key in different
        ]
        raise RunError(
            f"{workdir} holds a run with another config:\n"
            + "\n".join(lines)
            + "\nChoose another --workdir, remove that directory, or train with its config."
        )


def load_config(workdir: Path) -> dict[str, Any]:
    """Returns the config of a run, under current names.

    Raises:
      RunError: not a run directory, or its config.json is not valid.
    """
    path = Path(workdir) / "config.json"
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(
            f"{workdir}: expected a run directory with a config.json, got none"
        ) from None
    except (OSError, RecursionError, ValueError) as error:
        raise RunError(
            f"{path}: expected a config in JSON, got: {error}; restore the file, or remove the "
            "directory"
        ) from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a config in JSON, got a {type(values).__name__}")
    config = from_dict(values)
    try:
        validate(config)
    except ConfigError as error:
        raise RunError(
            f"{path}: {error}; a run of another version of ntm_jax needs that version, or to be "
            "trained again in another --workdir"
        ) from None
    return config


def latest_run(root: Path = Path("runs")) -> Path:
    """Returns the run directory under `root` whose metrics changed last.

    Raises:
      RunError: there is none.
    """
    run_dirs = [path.parent for path in Path(root).glob("*/config.json")]
    if not run_dirs:
        raise RunError(
            f"{root}: expected a run directory, got none; train a model with "
            "`python train.py --config=configs/copy_ntm.py`, or name a run with --workdir"
        )
    return max(run_dirs, key=_modified_time)


def append_metrics(workdir: Path, line: dict[str, Any]) -> None:
    """Appends one line to metrics.jsonl."""
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Returns the lines of metrics.jsonl under current names.

    Reading stops at the first line that is not valid, as the last line after a crash may be.
    """
    path = workdir / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or type(line.get("step")) is not int:
            break
        lines.append(legacy.convert_metrics(line))
    return lines


def truncate_metrics(workdir: Path, step: int) -> list[dict[str, Any]]:
    """Removes the lines after `step`, which a resumed run writes again.

    Returns:
      The remaining lines.

    Raises:
      RunError: lines up to `step` are missing.
    """
    path = workdir / "metrics.jsonl"
    kept = [line for line in read_metrics(workdir) if line["step"] <= step]
    last = kept[-1]["step"] if kept else 0
    if last < step:
        raise RunError(
            f"{path}: expected lines up to step {step} of the checkpoint, got none after {last}; "
            "restore the file, or train again in another --workdir"
        )
    _replace(path, "".join(json.dumps(line) + "\n" for line in kept))
    return kept


def flush(path: Path) -> None:
    """Waits until the contents of the file are on the disk."""
    with path.open("rb") as file:
        os.fsync(file)


def write_json(path: Path, value: Any) -> None:
    """Writes the file completely, or leaves the previous one unchanged."""
    _replace(path, json.dumps(value, indent=2) + "\n")


def write_summary(workdir: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Writes summary.json and returns it.

    A finished run that is started again keeps its stored times and devices.
    """
    path = workdir / "summary.json"
    with contextlib.suppress(KeyError, OSError, TypeError, ValueError):
        stored = legacy.convert_metrics(json.loads(path.read_text()))
        if all(stored[key] == v for key, v in summary.items() if key not in _RUNTIME_FIELDS):
            return stored
    write_json(path, summary)
    return summary


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    flush(temporary)
    os.replace(temporary, path)


def _modified_time(run: Path) -> float:
    metrics = run / "metrics.jsonl"
    return (metrics if metrics.exists() else run / "config.json").stat().st_mtime
