"""Compares the wall time of an ensemble with that of the same seeds trained one after the other.

    python -m benchmarks.ensemble_vs_sequential

All runs have the same number of training steps, and one evaluation at the end. Run it on an idle
host. results/ensemble_vs_sequential.json gets the wall time and the compile time of every command.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import environment
from experiments import cli
from ntm_jax.training.run_dir import write_json

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "Config to train.")
_SEEDS = flags.DEFINE_integer("num_seeds", 10, "Number of seeds.", 1)
_STEPS = flags.DEFINE_integer("num_train_steps", 2000, "Training steps of every run.", 1)


def main(argv: list[str]) -> None:
    """Trains the single seeds, then the ensemble, and writes the times."""
    del argv
    command = "python -m benchmarks.ensemble_vs_sequential"
    with (
        tempfile.TemporaryDirectory() as runs,
        environment.record(command, (_CONFIG, _SEEDS, _STEPS)) as document,
    ):
        sequential = [_train(Path(runs, str(seed)), {"seed": seed}) for seed in range(_SEEDS.value)]
        ensemble = _train(Path(runs, "ensemble"), {"num_seeds": _SEEDS.value})
    total = sum(run["wall_seconds"] for run in sequential)
    document |= {"sequential": sequential, "ensemble": ensemble}
    document["ratio"] = ensemble["wall_seconds"] / total
    write_json(environment.RESULTS / "ensemble_vs_sequential.json", document)
    print(json.dumps(document, indent=1))


def _train(workdir: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    steps = {"num_train_steps": _STEPS.value, "eval_every_steps": _STEPS.value}
    start = time.monotonic()
    command = cli.train(_CONFIG.value, overrides | steps, workdir)
    return {
        "command": command,
        "wall_seconds": round(time.monotonic() - start, 1),
        "compile_seconds": cli.load_summary(workdir)["compile_seconds"],
    }


if __name__ == "__main__":
    app.run(main)
