"""Measures the overhead of traces during training.

    python -m benchmarks.tracing

Trains copy with train.py --trace_every_evals=2, with a warm compilation cache, and compares the
times from an evaluation with a trace to the next one with those from an evaluation without. Both
alternate in the same run. Run it on an idle host. results/tracing.json gets the seconds of all of
these intervals; the first one with a trace also loads its program and imports matplotlib.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import app, flags

from benchmarks import environment
from experiments.cli import ROOT
from ntm_jax.training.run_dir import write_json

_STEPS = flags.DEFINE_integer("steps", 15000, "Number of training steps.", lower_bound=3000)


def main(argv: list[str]) -> None:
    """Measures the intervals and writes their seconds."""
    del argv
    with (
        environment.record("python -m benchmarks.tracing", [_STEPS]) as document,
        tempfile.TemporaryDirectory() as cache,
    ):
        _train(1000, cache)  # fills the cache
        times = _train(_STEPS.value, cache)
    intervals = [round(end - start, 3) for start, end in itertools.pairwise(times)]
    # Evaluations are counted from 1: the first has no trace, the second has one, and so on.
    seconds = {"without": intervals[::2], "with_trace": intervals[1::2]}
    write_json(environment.RESULTS / "tracing.json", {**document, "seconds": seconds})


def _train(steps: int, cache: str) -> list[float]:
    """Returns the seconds from the start of training to each evaluation."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "train.py", "--config=configs/copy_ntm.py"]
        command += [f"--workdir={directory}/run", "--trace_every_evals=2"]
        for key in ("num_train_steps", "train_steps_after_solved"):
            command.append(f"--config.{key}={steps}")
        variables = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
        subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, check=True)
        lines = map(json.loads, Path(directory, "run/metrics.jsonl").read_text().splitlines())
        return [line["seconds"] for line in lines if line["kind"] == "evaluation"]


if __name__ == "__main__":
    app.run(main)
