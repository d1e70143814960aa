"""Runs train.py and eval.py as a user does, for programs that measure the results."""

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

from absl import flags
from ml_collections import ConfigDict

from ntm_jax.runtime import provenance
from ntm_jax.training.config import plural

ROOT = Path(__file__).resolve().parents[1]
# Seed of the evaluation sequences. Evaluations during training use other seeds.
SEED = 2**31
# Evaluations in a memory larger than the training memory, by task: sizes, slots, sequences.
_ENLARGED = {"copy": (({"length": (300,)}, 512, 64), ({"length": (1000,)}, 2048, 32))}

RUNS = flags.DEFINE_string("runs", None, "Directory to keep runs in; temporary if not given.")


@contextlib.contextmanager
def runs_dir() -> Iterator[Path]:
    """Yields the directory for run directories."""
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(RUNS.value or temporary).absolute()


def config_name(path: str) -> str:
    """Returns the name of a config, "copy_gru" for "configs/baselines.py:copy_gru"."""
    file, _, experiment = path.partition(":")
    return experiment or Path(file).stem


def config_path(name: str) -> str:
    """Returns the value of --config for the name of a config."""
    baseline = name.endswith(("_gru", "_transformer"))
    return f"configs/baselines.py:{name}" if baseline else f"configs/{name}.py"


def load_config(path: str) -> ConfigDict:
    """Loads the config that --config=`path` selects."""
    file, _, experiment = path.partition(":")
    get_config = importlib.import_module(f"configs.{Path(file).stem}").get_config
    return get_config(experiment) if experiment else get_config()


def train(config: str, overrides: Mapping[str, Any], workdir: Path) -> str:
    """Trains with train.py, without the compilation cache, so that wall times are comparable.

    Args:
      config: path of the config, relative to the repository.
      overrides: config values by key.
      workdir: the run directory; an interrupted run in it is resumed.

    Returns:
      The command, without the run directory.
    """
    words = [f"--config={config}", *(f"--config.{key}={value}" for key, value in overrides.items())]
    _run("train.py", *words, f"--workdir={workdir}", JAX_ENABLE_COMPILATION_CACHE="false")
    return " ".join(["python", "train.py", *words])


def load_summary(workdir: Path) -> dict[str, Any]:
    """Reads the summary of a finished run, with no provenance but its versions and devices."""
    summary = json.loads((workdir / "summary.json").read_text())
    kept = ("versions", "devices")
    return {k: v for k, v in summary.items() if k in kept or k not in provenance.FIELDS}


def evaluate(
    workdir: Path,
    sizes: Mapping[str, Sequence[int]],
    num_slots: int | None = None,
    num_sequences: int = 256,
    seed: int = SEED,
) -> dict[str, Any]:
    """Evaluates a run with eval.py on sequences that training did not use.

    Args:
      workdir: the run directory.
      sizes: the values of each size axis of the task.
      num_slots: number of memory slots; None for that of the run.
      num_sequences: number of sequences per size.
      seed: seed of the sequences.

    Returns:
      The JSON document of eval.py, with the step of the checkpoint instead of its path.
    """
    path = workdir / "evaluation.json"
    words = [f"--{plural(axis)}={','.join(map(str, values))}" for axis, values in sizes.items()]
    words += [f"--sequences={num_sequences}", *([f"--slots={num_slots}"] if num_slots else [])]
    _run("eval.py", f"--workdir={workdir}", f"--json={path}", f"--seed={seed}", *words)
    evaluation = json.loads(path.read_text())
    step = int(Path(evaluation.pop("checkpoint")).name)
    kept = {k: v for k, v in evaluation.items() if k not in provenance.FIELDS}
    return kept | {"step": step}


def evaluate_enlarged(workdir: Path, task: str) -> list[dict[str, Any]]:
    """Evaluates an NTM in memories larger than the training memory, where the task has such."""
    return [evaluate(workdir, *settings) for settings in _ENLARGED.get(task, ())]


def host() -> dict[str, Any]:
    """Returns the processor, the number of cores that this process may use, and the Python."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def _run(script: str, *words: str, **variables: str) -> None:
    environment = {**os.environ, **variables}
    subprocess.run([sys.executable, script, *words], check=True, cwd=ROOT, env=environment)
