"""The run folder: what a run writes, read back without guessing.

config.json       the config, whole
metrics.jsonl     a line every log_every updates, and a line for each evaluation
events.out.*      the same for TensorBoard
train.log         what the terminal showed
checkpoints/      parameters, optimizer state and step
summary.json      how it ended
"""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ntm_jax.config import flat, from_dict

__all__ = [
    "RunError",
    "append_metrics",
    "keep_metrics_until",
    "load_config",
    "newest_run",
    "open_run",
    "read_metrics",
    "write_json",
]


class RunError(RuntimeError):
    """A run folder that is missing, or belongs to something else."""


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
      RunError: no run folder, or its config.json is not one.
    """
    path = Path(workdir) / "config.json"
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{workdir}: expected a run folder with a config.json, got none") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: expected a config as JSON, got: {error}") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a config as JSON, got {type(values).__name__}")
    return from_dict(values)


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


def append_metrics(workdir: Path, line: dict[str, Any]) -> None:
    """Adds one line to metrics.jsonl."""
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """All lines of metrics.jsonl; a last line torn by a crash is left out."""
    path = workdir / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def keep_metrics_until(workdir: Path, step: int) -> list[dict[str, Any]]:
    """Removes the lines after `step`, which a resumed run writes again; returns the others."""
    kept = [line for line in read_metrics(workdir) if line["step"] <= step]
    _replace(workdir / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))
    return kept


def write_json(path: Path, value: Any) -> None:
    """Writes a whole file, or leaves the old one."""
    _replace(path, json.dumps(value, indent=2) + "\n")


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    os.replace(beside, path)


def _changed(run: Path) -> float:
    metrics = run / "metrics.jsonl"
    return (metrics if metrics.exists() else run / "config.json").stat().st_mtime
