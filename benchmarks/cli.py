"""The two commands that a user types, run by programs that measure."""

import contextlib
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ntm_jax.training import run_dir
from ntm_jax.training.config import plural

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

# Of the sequences. Not the seed of any evaluation in training, on which it is decided when to stop.
SEED = 2**31


@contextlib.contextmanager
def run_folder(kept: str | None) -> Iterator[Path]:
    """The folder for runs to be kept in; if none is given, one that is gone afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(kept or scratch).absolute()


def load_config(config: str) -> ConfigDict:
    """What a file under configs/ makes, given what --config gets."""
    file, _, experiment = config.partition(":")
    words = [experiment] if experiment else []
    return importlib.import_module(f"configs.{Path(file).stem}").get_config(*words)


def config_file(name: str) -> str:
    """What --config gets for a task and a model, from the root."""
    many = name.rpartition("_")[2] in ("gru", "transformer")
    return f"configs/second_opinion.py:{name}" if many else f"configs/{name}.py"


def train(config: str, overrides: dict[str, Any], workdir: Path) -> str:
    """Trains until the command ends.

    Args:
      config: path of a config, from the root.
      overrides: settings by their names on the command line.
      workdir: the run folder.

    Returns:
      The command, without the folder.
    """
    words = [f"--config={config}", *(f"--config.{key}={value}" for key, value in overrides.items())]
    # Without what was compiled before: the seconds are those of a first time.
    _run("train.py", *words, f"--workdir={workdir}", JAX_ENABLE_COMPILATION_CACHE="false")
    return " ".join(["python", "train.py", *words])


def summary(workdir: Path) -> dict[str, Any]:
    """What training said of a run at its end."""
    return json.loads((workdir / "summary.json").read_text())


def evaluate(
    workdir: Path,
    numbers: Mapping[str, Sequence[int]],
    sequences: int = 256,
    slots: int | None = None,
) -> dict[str, Any]:
    """What `eval.py --json` writes of a run, on sequences that training did not use.

    Args:
      workdir: the run folder.
      numbers: of each axis of the task.
      sequences: of each size.
      slots: of the memory; None for the run's own.
    """
    path = workdir / "evaluation.json"
    words = [f"--{plural(axis)}={','.join(map(str, of))}" for axis, of in numbers.items()]
    words += [f"--sequences={sequences}", *([f"--slots={slots}"] if slots else [])]
    _run("eval.py", f"--workdir={workdir}", f"--json={path}", f"--seed={SEED}", *words)
    evaluation = json.loads(path.read_text())
    evaluation["checkpoint"] = f"update {Path(evaluation['checkpoint']).name}"
    return evaluation


def machine() -> dict[str, Any]:
    """The processor, how many cores this process may use, and Python's version."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Writes a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run_dir.write_json(path, document)


def _run(script: str, *words: str, **settings: str) -> None:
    environment = {**os.environ, **settings}
    subprocess.run([sys.executable, script, *words], check=True, cwd=ROOT, env=environment)
