"""Trains a config with several seeds, one after the other, by the commands that a user types.

    python -m benchmarks.seeds --config=configs/copy_ntm.py --seeds=0,1,2,3,4,5,6,7,8,9

For each seed: `train.py` timed from outside, from the start of the command to its end, compilation
and the last checkpoint included; then `eval.py` on sequences that training did not use, at the
trained size of the memory and enlarged. benchmarks/results/<config name>.json gets a row a seed as
it comes; a seed that has its row is left out, so the command can be interrupted and repeated. A
time counts only if the machine had nothing else to do: `--name=copy_ntm_alone` keeps such rows
apart, and the load before each command stands in its row.
"""

import json
import os
import time
from pathlib import Path

from absl import app, flags

from benchmarks import commands

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "What to train.")
_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in range(10)], "Seeds, by commas.")
_LENGTHS = flags.DEFINE_list("lengths", ["10", "20", "40", "80", "120"], "For eval.py.")
_FAR = flags.DEFINE_list("far", ["300"], "Lengths with the enlarged memory; may be none.")
_SLOTS = flags.DEFINE_integer("slots", 512, "Slots of the enlarged memory.")
_NAME = flags.DEFINE_string("name", None, "Of the file; the config's if not given.")
_RUNS = flags.DEFINE_string("runs", None, "Folder to keep the runs in; not kept if not given.")


def main(argv: list[str]) -> None:
    """Runs what is missing and writes it down."""
    del argv
    name = _NAME.value or Path(_CONFIG.value).stem
    path = commands.RESULTS / f"{name}.json"
    rows = json.loads(path.read_text())["seeds"] if path.exists() else []
    for seed in map(int, _SEEDS.value):
        if any(row["summary"]["seed"] == seed for row in rows):
            continue
        with commands.run_folder(_RUNS.value) as folder:
            rows.append(_train(seed, folder / f"seed{seed}"))
        rows.sort(key=lambda row: row["summary"]["seed"])
        document = {"config": _CONFIG.value, "machine": commands.machine(), "seeds": rows}
        commands.write(path, document)
        print(path.name, json.dumps(rows[-1]["evaluation"]["results"]), flush=True)


def _train(seed: int, workdir: Path) -> dict:
    fresh, load = not workdir.exists(), os.getloadavg()[0]
    began = time.monotonic()
    commands.train(_CONFIG.value, {"seed": seed}, workdir)
    row: dict = {}
    if fresh:  # a run that went on says its time in the summary alone
        row |= {"load_before": load, "command_seconds": round(time.monotonic() - began, 1)}
    row["summary"] = commands.summary(workdir)
    row["evaluation"] = commands.evaluate(workdir, {"length": _numbers(_LENGTHS.value)})
    if _FAR.value:
        numbers = {"length": _numbers(_FAR.value)}
        row["enlarged"] = commands.evaluate(workdir, numbers, slots=_SLOTS.value)
    return row


def _numbers(words: list[str]) -> list[int]:
    return [int(word) for word in words]


if __name__ == "__main__":
    app.run(main)
