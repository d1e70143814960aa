"""Measures the speedup by a second core, as a second device or as a second process.

    python -m benchmarks.scaling_devices

Each round trains on one core, with one device for each of two cores, and as two processes with one
device each, connected over the loopback interface. Run it on an idle host.
results/scaling_devices.json gets the training steps per second between the first line of metrics,
which includes the compilation, and the last.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import environment
from experiments.cli import ROOT
from ntm_jax.training.run_dir import read_metrics, write_json

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm_lstm.py", "Config to train.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)

# Config values of a row, and the number of training steps.
_ROWS = (
    ({"num_seeds": 1, "batch_size": 32}, 500),
    ({"num_seeds": 1, "batch_size": 128}, 200),
    ({"num_seeds": 8, "batch_size": 4}, 500),
)
# Cores, devices per process, processes.
_SETUPS = {"one_core": (1, 1, 1), "two_devices": (2, 2, 1), "two_processes": (2, 1, 2)}


def main(argv: list[str]) -> None:
    """Measures all rows and writes the speeds."""
    del argv
    rows: list[dict[str, Any]] = [
        {**sizes, "steps_per_second": {setup: [] for setup in _SETUPS}} for sizes, _ in _ROWS
    ]
    command = "python -m benchmarks.scaling_devices"
    with environment.record(command, (_CONFIG, _ROUNDS)) as document:
        for _ in range(_ROUNDS.value):
            for row, (sizes, num_steps) in zip(rows, _ROWS, strict=True):
                for setup in _SETUPS:
                    with tempfile.TemporaryDirectory() as runs:
                        rate = _steps_per_second(Path(runs, "run"), setup, sizes, num_steps)
                    row["steps_per_second"][setup].append(rate)
                print(json.dumps(row), flush=True)
    write_json(environment.RESULTS / "scaling_devices.json", {**document, "rows": rows})


def _steps_per_second(workdir: Path, setup: str, sizes: dict[str, int], num_steps: int) -> float:
    cores, devices, num_processes = _SETUPS[setup]
    steps = {"num_train_steps": num_steps, "eval_every_steps": num_steps, "log_every_steps": 50}
    words = [sys.executable, "train.py", f"--config={_CONFIG.value}", f"--workdir={workdir}"]
    words += [f"--config.{key}={value}" for key, value in (sizes | steps).items()]
    if num_processes > 1:
        words += [f"--coordinator=127.0.0.1:{_free_port()}", f"--num_processes={num_processes}"]
    with _cores(cores):
        processes = [
            subprocess.Popen(
                [*words, *([f"--process_id={index}"] if num_processes > 1 else [])],
                cwd=ROOT,
                env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
                stdout=subprocess.DEVNULL,
            )
            for index in range(num_processes)
        ]
    if any([process.wait() for process in processes]):
        sys.exit(f"scaling_devices: training with {setup} failed")
    first, *_, last = (line for line in read_metrics(workdir) if line["kind"] == "training")
    return round((last["step"] - first["step"]) / (last["seconds"] - first["seconds"]), 2)


@contextlib.contextmanager
def _cores(number: int) -> Iterator[None]:
    """Limits processes that are started inside the context to this number of cores."""
    available = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(available)[:number])
    yield
    os.sched_setaffinity(0, available)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


if __name__ == "__main__":
    app.run(main)
