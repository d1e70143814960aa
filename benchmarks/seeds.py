"""Trains a config with several seeds, one after the other, by the commands that a user types.

    python benchmarks/seeds.py --config=configs/copy_ntm.py --seeds=0,1,2,3,4,5,6,7,8,9

For each seed: `train.py` timed from outside, from the start of the command to its end, compilation
and the last checkpoint included; then `eval.py` on sequences that training did not use, at the
trained size of the memory and enlarged. benchmarks/results/<config name>.json gets a row a seed as
it comes; a seed that has its row is left out, so the command can be interrupted and repeated. A
time counts only if the machine had nothing else to do: `--name=copy_ntm_alone` keeps such rows
apart, and the load before each command stands in its row.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

_ROOT = Path(__file__).resolve().parents[1]

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "What to train.")
_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in range(10)], "Seeds, by commas.")
_LENGTHS = flags.DEFINE_string("lengths", "10,20,40,80,120", "For eval.py.")
_FAR = flags.DEFINE_string("far", "300", "Lengths for eval.py with the enlarged memory, or none.")
_SLOTS = flags.DEFINE_integer("slots", 512, "Slots of the enlarged memory.")
_NAME = flags.DEFINE_string("name", None, "Of the file; the config's if not given.")
_RUNS = flags.DEFINE_string("runs", None, "Folder to keep the runs in; not kept if not given.")


def main(argv: list[str]) -> None:
    """Runs what is missing and writes it down."""
    del argv
    path = _ROOT / "benchmarks" / "results" / f"{_NAME.value or Path(_CONFIG.value).stem}.json"
    path.parent.mkdir(exist_ok=True)
    rows = json.loads(path.read_text())["seeds"] if path.exists() else []
    for seed in map(int, _SEEDS.value):
        if any(row["summary"]["seed"] == seed for row in rows):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(_train(seed, Path(_RUNS.value or scratch) / f"seed{seed}"))
        rows.sort(key=lambda row: row["summary"]["seed"])
        document = {"config": _CONFIG.value, "machine": _machine(), "seeds": rows}
        path.write_text(json.dumps(document, indent=1) + "\n")
        print(path.name, json.dumps(rows[-1]["evaluation"]["results"]), flush=True)


def _train(seed: int, workdir: Path) -> dict:
    fresh, load = not workdir.exists(), os.getloadavg()[0]
    began = time.monotonic()
    # fmt: off
    _run("train.py", f"--config={_ROOT / _CONFIG.value}", f"--config.seed={seed}",
         f"--workdir={workdir}")
    # fmt: on
    row: dict = {}
    if fresh:  # a run that went on says its time in the summary alone
        row |= {"load_before": load, "command_seconds": round(time.monotonic() - began, 1)}
    row["summary"] = json.loads((workdir / "summary.json").read_text())
    row["evaluation"] = _evaluate(workdir, "--lengths", _LENGTHS.value)
    if _FAR.value:
        row["enlarged"] = _evaluate(workdir, "--lengths", _FAR.value, f"--slots={_SLOTS.value}")
    return row


def _evaluate(workdir: Path, *arguments: str) -> dict:
    path = workdir / "evaluation.json"
    # Not the seed of the evaluations in training, on which it was decided when to stop.
    _run("eval.py", f"--workdir={workdir}", f"--json={path}", "--seed=1000", *arguments)
    evaluation = json.loads(path.read_text())
    evaluation["checkpoint"] = f"update {Path(evaluation['checkpoint']).name}"
    return evaluation


def _run(script: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    subprocess.run([sys.executable, _ROOT / script, *arguments], check=True, env=environment)


def _machine() -> dict:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    app.run(main)
