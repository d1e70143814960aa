"""Measures the time from the start of train.py to its first line of metrics.

    python -m benchmarks.startup

The first line comes after 100 training steps. Each round runs the command twice, with an empty
compilation cache and with the cache of the first run; and both again with XLA's default flags
instead of those of `set_fast_compile_flags`. Run it on an idle host. results/startup.json gets the
seconds of each run.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

from benchmarks import environment
from experiments.cli import ROOT
from ntm_jax.training.run_dir import write_json

_CONFIGS = flags.DEFINE_list("configs", ["copy_ntm", "copy_ntm_lstm"], "Files in configs/.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of rounds.", lower_bound=1)

_XLA_DEFAULTS = "--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true"


def main(argv: list[str]) -> None:
    """Measures all configs and writes the times."""
    del argv
    keys = ("cold_cache_seconds", "warm_cache_seconds")
    rows = [
        {"config": config, "XLA_FLAGS": xla_flags, **{key: [] for key in keys}}
        for config in _CONFIGS.value
        for xla_flags in ("", _XLA_DEFAULTS)
    ]
    with environment.record("python -m benchmarks.startup", (_CONFIGS, _ROUNDS)) as document:
        for _ in range(_ROUNDS.value):
            for row in rows:
                with tempfile.TemporaryDirectory() as cache:
                    for key in keys:
                        row[key].append(_startup_seconds(row["config"], row["XLA_FLAGS"], cache))
                print(row, flush=True)
    write_json(environment.RESULTS / "startup.json", {**document, "rows": rows})


def _startup_seconds(config: str, xla_flags: str, cache: str) -> float:
    variables = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "XLA_FLAGS": xla_flags}
    with tempfile.TemporaryDirectory() as directory:
        metrics = Path(directory, "run", "metrics.jsonl")
        command = [sys.executable, "train.py", f"--config=configs/{config}.py"]
        command.append(f"--workdir={directory}/run")
        start = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
                time.sleep(0.01)
            seconds = time.monotonic() - start
            if process.returncode:
                sys.exit(f"startup: training {config} failed with exit code {process.returncode}")
            process.kill()
    return round(seconds, 2)


if __name__ == "__main__":
    app.run(main)
