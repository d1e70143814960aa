"""How long the train command takes from typing to its first updates.

    python -m benchmarks.start_up

In every round the command twice, each stopped after its first line of metrics, which is that of 100
updates: with an empty cache of compiled programs, and then with what the first one left there; and
both once more as XLA compiles by default, without `compilation.use_quick_compiler`. On a machine
that has nothing else to do. benchmarks/results/start_up.json gets the seconds of each.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

from benchmarks import commands, conditions

_CONFIGS = flags.DEFINE_list("configs", ["copy_ntm", "copy_ntm_lstm"], "Files under configs/.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds, each of every config.", lower_bound=1)

_DEFAULT = "--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true"


def main(argv: list[str]) -> None:
    """Flags in, a file out."""
    del argv
    used = {flag.name: flag.value for flag in (_CONFIGS, _ROUNDS)}
    rows = {
        (config, settings): {"config": config, "XLA_FLAGS": settings, "first": [], "second": []}
        for config in _CONFIGS.value
        for settings in ("", _DEFAULT)
    }
    with conditions.noted(used) as document:
        for _ in range(_ROUNDS.value):
            for (config, settings), row in rows.items():
                with tempfile.TemporaryDirectory() as cache:
                    row["first"].append(_seconds(config, settings, cache))
                    row["second"].append(_seconds(config, settings, cache))
                print(config, settings, row["first"][-1], row["second"][-1], flush=True)
    document["seconds_to_first_updates"] = [*rows.values()]
    commands.write(commands.RESULTS / "start_up.json", document)


def _seconds(config: str, settings: str, cache: str) -> float:
    """From the start of the command to its first line of metrics."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "XLA_FLAGS": settings}
    with tempfile.TemporaryDirectory() as folder:
        words = ["train.py", f"--config=configs/{config}.py", f"--workdir={folder}/run"]
        metrics = Path(folder, "run", "metrics.jsonl")
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, *words],
            cwd=commands.ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
                time.sleep(0.01)
            elapsed = time.monotonic() - began
            if process.returncode:
                sys.exit(f"start_up: expected {config} to train, got exit {process.returncode}")
            process.kill()
    return round(elapsed, 2)


if __name__ == "__main__":
    app.run(main)
