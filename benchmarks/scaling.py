"""What a second core gains, as a second device of one process and as a second process.

    python -m benchmarks.scaling

In every round the train command in each of three ways: on one core, with a device for each of two
cores, and as two processes with one device each, which talk over the loopback interface. On a
machine that has nothing else to do. benchmarks/results/scaling.json gets the updates a second
between the first line of metrics, which has the compilation in it, and the last.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import commands, conditions

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm_lstm.py", "What to train.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds, each of every way.", lower_bound=1)

# What is trained, and for how many updates.
_TRAINED = (
    ({"num_seeds": 1, "batch_size": 32}, 500),
    ({"num_seeds": 1, "batch_size": 128}, 200),
    ({"num_seeds": 8, "batch_size": 4}, 500),
)
# Cores, devices of a process, processes.
_WAYS = {"one_core": (1, 1, 1), "two_devices": (2, 2, 1), "two_processes": (2, 1, 2)}


def main(argv: list[str]) -> None:
    """Flags in, a file out."""
    del argv
    rows: list[dict[str, Any]] = [
        {**sizes, "updates_per_second": {way: [] for way in _WAYS}} for sizes, _ in _TRAINED
    ]
    used = {flag.name: flag.value for flag in (_CONFIG, _ROUNDS)}
    with conditions.noted(used) as document:
        for _ in range(_ROUNDS.value):
            for row, (sizes, updates) in zip(rows, _TRAINED, strict=True):
                for way in _WAYS:
                    with commands.run_folder(None) as folder:
                        rate = _rate(folder / "run", way, {**sizes, "num_steps": updates})
                        row["num_params"] = commands.summary(folder / "run")["num_params"]
                    row["updates_per_second"][way].append(rate)
                print(json.dumps(row), flush=True)
    commands.write(commands.RESULTS / "scaling.json", {**document, "rows": rows})


def _rate(workdir: Path, way: str, settings: dict[str, int]) -> float:
    """Updates a second."""
    cores, devices, processes = _WAYS[way]
    settings = {**settings, "eval_every": settings["num_steps"], "log_every": 50}
    words = ["train.py", f"--config={_CONFIG.value}", f"--workdir={workdir}"]
    words += [f"--config.{name}={value}" for name, value in settings.items()]
    port = _free_port()
    with _on(cores):
        started = [
            subprocess.Popen(
                [sys.executable, *words, *_one_of(processes, index, port)],
                cwd=commands.ROOT,
                env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
                stdout=subprocess.DEVNULL,
            )
            for index in range(processes)
        ]
    if any([process.wait() for process in started]):
        sys.exit(f"scaling: expected {' '.join(words)} to end with 0, {way}")
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    first, *_, last = (line for line in lines if line["kind"] == "training")
    return round((last["step"] - first["step"]) / (last["seconds"] - first["seconds"]), 2)


def _one_of(processes: int, index: int, port: int) -> list[str]:
    """The flags of a process."""
    if processes == 1:
        return []
    words = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={processes}"]
    return [*words, f"--process_id={index}"]


@contextlib.contextmanager
def _on(cores: int) -> Iterator[None]:
    """Has processes that are started inside it use so many cores."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(own)[:cores])
    yield
    os.sched_setaffinity(0, own)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


if __name__ == "__main__":
    app.run(main)
