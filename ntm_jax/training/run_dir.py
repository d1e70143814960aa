"""The run directory, `workdir`.

config.json       the config
lock              locked by the process that trains in this directory
metrics.jsonl     a line every `log_every_steps` training steps, and one per evaluation
events.out.*      the same for TensorBoard
train.log         console output
traces/           memory access in one sequence after evaluations, if asked for: STEP.npz
checkpoints/      parameters, optimizer state and step
summary.json      results at the end of training
"""

import contextlib
import errno
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ntm_jax.runtime import files, provenance
from ntm_jax.training import legacy
from ntm_jax.training.config import ConfigError, flatten, from_dict, truncate_repr, validate

__all__ = [
    "RunError",
    "append_metrics",
    "check_config",
    "check_last_step",
    "latest_run",
    "load_config",
    "lock",
    "read_metrics",
    "read_summary",
    "truncate_metrics",
    "write_config",
    "write_json",
    "write_summary",
]

# Entries of a summary that differ between runs with the same results.
_RUNTIME_FIELDS = ("seconds", "compile_seconds", *provenance.FIELDS)
# Errors of file systems without locks, such as Lustre, NFS and FUSE.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class RunError(RuntimeError):
    """A run directory that is missing, locked, or holds another run."""


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Creates and locks the directory; the lock ends with the context or the process.

    A file system without locks gives a warning on stderr.

    Raises:
      RunError: another process trains in the directory.
      OSError: the directory cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "lock").open("a+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read(20).strip()
            raise RunError(
                f"{workdir} is locked by another training process"
                + (f" (pid {owner})" if owner.isdecimal() else "")
                + "; wait for it to end, or choose another --workdir"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            reason = f"cannot be locked ({error.strerror}); no other process may train in it"
            print(f"warning: {workdir} {reason}", file=sys.stderr)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def check_config(workdir: Path, config: Any) -> list[str]:
    """Checks that a directory holds no run, or one that trains what `config` describes.

    `num_train_steps` and `checkpoint_every_steps` may differ, and `train_steps_after_solved` may be
    larger: what was trained before stays the same.

    Returns:
      The keys for which the directory has another value, or none.

    Raises:
      RunError: the directory holds a run with another config, and the message lists the
        differences; or checkpoints without a config.
    """
    path = workdir / "config.json"
    if not path.exists():
        if (workdir / "checkpoints").exists():
            raise RunError(
                f"{path}: expected the config of the checkpoints, got none; restore the file, or "
                "choose another --workdir"
            )
        return [*flatten(config)]
    stored, given = flatten(load_config(workdir)), flatten(config)
    missing = object()
    changed = [
        key
        for key in sorted(stored.keys() | given.keys())
        if stored.get(key, missing) != given.get(key, missing)
    ]
    different = [
        key
        for key in changed
        if key not in ("num_train_steps", "checkpoint_every_steps")
        and not (key == "train_steps_after_solved" and given[key] > stored[key])
    ]
    if different:
        lines = [
            f"  {key}: {stored.get(key, 'nothing')!r} stored, {given.get(key, 'nothing')!r} given"
            for key in different
        ]
        raise RunError(
            f"{workdir} holds a run with another config:\n"
            + "\n".join(lines)
            + "\nChoose another --workdir, or train with its config."
        )
    return changed


def write_config(workdir: Path, config: Any) -> None:
    """Writes config.json, and removes the summary of a run that ended with another one.

    Raises:
      OSError: the directory cannot be written to.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "config.json", config.to_dict())
    (workdir / "summary.json").unlink(missing_ok=True)


def load_config(workdir: Path) -> dict[str, Any]:
    """Returns the config of a run, under current names.

    Raises:
      RunError: not a run directory, or its config.json is not valid.
    """
    path = Path(workdir) / "config.json"
    try:
        config = from_dict(files.parse_json(path.read_bytes(), "a config in JSON"))
        validate(config)
    except FileNotFoundError:
        raise RunError(
            f"{workdir}: expected a run directory with a config.json, got none"
        ) from None
    except OSError as error:
        raise RunError(f"{path}: expected a readable file, got: {error.strerror}") from None
    except files.FileContentError as error:
        raise RunError(f"{path}: {error}; restore the file, or choose another --workdir") from None
    except ConfigError as error:
        raise RunError(
            f"{path}: {files.one_line(error)}; a run of another version of ntm_jax needs that "
            "version, or to be trained again in another --workdir"
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
    """Appends one line to metrics.jsonl; NaN and infinity become null."""
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(files.json_value(line)) + "\n")


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Returns the lines of metrics.jsonl under current names.

    Reading stops at the first line that is not valid, as the last line after a crash may be.

    Raises:
      RunError: the file cannot be read.
    """
    path, lines = workdir / "metrics.jsonl", []
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: expected a readable file, got: {error.strerror}") from None
    for text in filter(bytes.strip, content.split(b"\n")):
        try:
            line = legacy.convert_metrics(files.parse_json(text, "metrics"))
        except files.FileContentError:
            break
        if type(line.get("step")) is not int or not isinstance(line.get("kind"), str):
            break
        lines.append(line)
    return lines


def check_last_step(workdir: Path, lines: Sequence[dict[str, Any]], step: int) -> None:
    """Checks that the lines reach the step of a checkpoint.

    Raises:
      RunError: lines are missing, or a line that is not valid ended the reading.
    """
    last = lines[-1]["step"] if lines else 0
    if last < step:
        raise RunError(
            f"{workdir / 'metrics.jsonl'}: expected lines up to step {step} of the checkpoint, got "
            f"none after {last}; restore the file, or train again in another --workdir"
        )


def truncate_metrics(workdir: Path, step: int) -> list[dict[str, Any]]:
    """Removes the lines after `step`, which a resumed run writes again.

    Returns:
      The remaining lines.

    Raises:
      RunError: lines up to `step` are missing, or the last one has no wall time.
    """
    path = workdir / "metrics.jsonl"
    kept = [line for line in read_metrics(workdir) if line["step"] <= step]
    check_last_step(workdir, kept, step)
    if kept and type(seconds := kept[-1].get("seconds")) not in (int, float):
        raise RunError(f"{path}: expected seconds as a number, got {truncate_repr(seconds)}")
    files.write_file(path, "".join(json.dumps(files.json_value(line)) + "\n" for line in kept))
    return kept


def write_json(path: Path, value: Any) -> None:
    """Writes a value as `files.write_file` does; NaN and infinity become null."""
    files.write_file(path, json.dumps(files.json_value(value), indent=2) + "\n")


def read_summary(workdir: Path) -> dict[str, Any]:
    """Returns the contents of summary.json under current names; empty if there is none."""
    try:
        content = (workdir / "summary.json").read_bytes()
        return legacy.convert_metrics(files.parse_json(content, "a summary"))
    except (OSError, files.FileContentError):
        return {}


def write_summary(workdir: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Writes summary.json and returns it.

    A finished run that is started again keeps its stored times and devices.
    """
    path, summary = workdir / "summary.json", files.json_value(summary)
    stored = read_summary(workdir)
    with contextlib.suppress(KeyError):
        if all(
            type(stored[key]) is type(value) if key in _RUNTIME_FIELDS else stored[key] == value
            for key, value in summary.items()
        ):
            return stored
    write_json(path, summary)
    return summary


def _modified_time(run: Path) -> float:
    metrics = run / "metrics.jsonl"
    return (metrics if metrics.exists() else run / "config.json").stat().st_mtime
