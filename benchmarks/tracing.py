"""Measures how much slower training is that stores and draws the memory access of a sequence.

    python -m benchmarks.tracing

Each round runs train.py on copy with and without --trace_every_evals, for each number of training
steps, with a warm compilation cache. Run it on an idle host. results/tracing.json gets the seconds
of the commands and the ratio of their medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks import environment
from experiments.cli import ROOT
from ntm_jax.training.run_dir import write_json

_STEPS = flags.DEFINE_list("steps", ["3000", "15000"], "Numbers of training steps.")
_EVERY = flags.DEFINE_integer("trace_every_evals", 5, "Evaluations per trace.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Measures all numbers of steps and writes the times."""
    del argv
    keys = ("seconds", "seconds_with_traces")
    rows = [{"steps": int(steps), **{key: [] for key in keys}} for steps in _STEPS.value]
    holders = (_STEPS, _EVERY, _ROUNDS)
    with (
        environment.record("python -m benchmarks.tracing", holders) as document,
        tempfile.TemporaryDirectory() as cache,
    ):
        _train(min(row["steps"] for row in rows), _EVERY.value, cache)  # fills the cache
        for _ in range(_ROUNDS.value):
            for row in rows:
                for key, every in zip(keys, (0, _EVERY.value), strict=True):
                    row[key].append(_train(row["steps"], every, cache))
                print(row, flush=True)
    for row in rows:
        without, with_traces = (statistics.median(row[key]) for key in keys)
        row["ratio"] = round(with_traces / without, 3)
    write_json(environment.RESULTS / "tracing.json", {**document, "rows": rows})


def _train(steps: int, trace_every_evals: int, cache: str) -> float:
    """Returns the seconds of train.py from start to end."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "train.py", "--config=configs/copy_ntm.py"]
        command += [f"--workdir={directory}/run", f"--trace_every_evals={trace_every_evals}"]
        for key in ("num_train_steps", "train_steps_after_solved"):
            command.append(f"--config.{key}={steps}")
        variables = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"tracing: training failed with exit code {done.returncode}")
    return round(seconds, 2)


if __name__ == "__main__":
    app.run(main)
