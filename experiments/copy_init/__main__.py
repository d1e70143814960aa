"""What decides whether copy is learned, and whether what is learned is the algorithm.

    python -m studies.copy_start                     # trains what is missing
    python -m studies.copy_start --controllers=lstm  # of one controller alone

Every combination of the memory's start and the first weighting; then one setting at a time, changed
from the default. Each is an ensemble of ten seeds, none of which a default was chosen on, trained
by the commands that a user types. A setting that has its file in results/ is left out, and with
`--runs` the run that was interrupted goes on.
"""

from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import commands
from studies.copy_start.settings import CONFIGS, FACTORS, STARTS, Setting, path_of, table

_RUNS = flags.DEFINE_string("runs", None, "Folder to keep runs in; not kept if not given.")
_CONTROLLERS = flags.DEFINE_multi_enum("controllers", list(CONFIGS), list(CONFIGS), "Which.")

_LENGTHS, _FAR, _SLOTS = (10, 20, 40, 80, 120), 300, 512
# Fewer updates than a run may take by default: enough to compare by, for all of these settings.
# Without restarts, which would hide how many seeds a setting leaves on a plateau.
_BUDGET = {
    "seed": 100,
    "num_seeds": 10,
    "num_steps": 5000,
    "eval_sequences": 64,
    "restart_after": 0,
}


def main(argv: list[str]) -> None:
    """Trains what has no result yet, and prints the tables."""
    del argv
    for controller in _CONTROLLERS.value:
        for setting in [*STARTS, *FACTORS[controller]]:
            path = path_of(controller, setting)
            if path.exists():
                continue
            print(path.stem, flush=True)
            with commands.run_folder(_RUNS.value) as folder:
                commands.write(path, _measure(controller, setting, folder / controller / path.stem))
        for settings in (STARTS, FACTORS[controller]):
            print(f"{controller}\n{table(controller, settings)}\n")


def _measure(controller: str, setting: Setting, workdir: Path) -> dict[str, Any]:
    config = f"configs/{CONFIGS[controller]}.py"
    return {
        "command": commands.train(config, {**_BUDGET, **setting}, workdir),
        "machine": commands.machine(),
        "summary": commands.summary(workdir),
        "evaluation": commands.evaluate(workdir, {"length": _LENGTHS}, 64),
        "enlarged": commands.evaluate(workdir, {"length": [_FAR]}, 64, _SLOTS),
    }


if __name__ == "__main__":
    app.run(main)
