"""What ten seeds cost at once, beside ten runs of one seed: `python -m benchmarks.ensemble_cost`.

By the commands that a user types, each for the same number of updates and with one evaluation at
its end, on a machine that has nothing else to do. benchmarks/results/ensemble_cost.json gets the
seconds of every command, and of them those that were spent compiling.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import commands

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "What to train.")
_SEEDS = flags.DEFINE_integer("num_seeds", 10, "Seeds.", 1)
_UPDATES = flags.DEFINE_integer("updates", 2000, "Of every run.", 1)


def main(argv: list[str]) -> None:
    """Runs the single seeds, then the ensemble, and writes it down."""
    del argv
    load = os.getloadavg()[0]
    with commands.run_folder(None) as folder:
        alone = [_run(folder / str(seed), {"seed": seed}) for seed in range(_SEEDS.value)]
        together = _run(folder / "together", {"num_seeds": _SEEDS.value})
    document = {
        "config": _CONFIG.value,
        "machine": commands.machine(),
        "load_before": load,
        "updates": _UPDATES.value,
        "alone": alone,
        "together": together,
        "ratio": together["command_seconds"] / sum(one["command_seconds"] for one in alone),
    }
    commands.write(commands.RESULTS / "ensemble_cost.json", document)
    print(json.dumps(document, indent=1))


def _run(workdir: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    until = {"num_steps": _UPDATES.value, "eval_every": _UPDATES.value}
    began = time.monotonic()
    command = commands.train(_CONFIG.value, overrides | until, workdir)
    seconds = round(time.monotonic() - began, 1)
    summary = commands.summary(workdir)
    return {
        "command": command,
        "command_seconds": seconds,
        "compile_seconds": summary["compile_seconds"],
    }


if __name__ == "__main__":
    app.run(main)
