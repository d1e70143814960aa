"""Trains many seeds of a config as one ensemble, and measures how far each machine generalises.

    python -m benchmarks.ensembles --config=configs/copy_ntm.py

By the commands that a user types, so an interrupted run goes on if `--runs` keeps it. Every machine
trains on after it was solved, to see whether it is held.
benchmarks/results/ensembles/<config name>.json gets what training said of each member, the learning
curve, and evaluations of every member on sequences that training did not use.
"""

from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import commands
from ntm_jax import runs

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "What to train.")
_SEEDS = flags.DEFINE_integer("num_seeds", 30, "Seeds, from the config's own on.", 1)
_AFTER = flags.DEFINE_integer("updates_after_solved", 10_000, "Updates after it is solved.", 0)
_LENGTHS = flags.DEFINE_list("lengths", ["10", "20", "30", "40", "50", "80", "120"], "To evaluate.")
# Length, slots and sequences: with more slots a machine can hold more than it ever saw.
_FAR = ((300, 512, 64), (1000, 2048, 32))
_ENLARGE = flags.DEFINE_bool("enlarge", True, "Evaluate in enlarged memories as well.")
_RUNS = flags.DEFINE_string("runs", None, "Folder to keep the run in; not kept if not given.")


def main(argv: list[str]) -> None:
    """Trains, evaluates, and writes it down."""
    del argv
    name = Path(_CONFIG.value).stem
    overrides = {
        "num_seeds": _SEEDS.value,
        "updates_after_solved": _AFTER.value,
        "num_steps": commands.load_config(name).num_steps + _AFTER.value,
    }
    with commands.run_folder(_RUNS.value) as folder:
        workdir = folder / name
        document: dict[str, Any] = {
            "config": _CONFIG.value,
            "command": commands.train(_CONFIG.value, overrides, workdir),
            "machine": commands.machine(),
            "summary": commands.summary(workdir),
            "curve": _curve(workdir),
            "evaluation": commands.evaluate(workdir, [int(n) for n in _LENGTHS.value]),
        }
        if _ENLARGE.value:
            document["enlarged"] = [
                commands.evaluate(workdir, [length], sequences, slots)
                for length, slots, sequences in _FAR
            ]
    commands.write(commands.RESULTS / "ensembles" / f"{name}.json", document)


def _curve(workdir: Path) -> list[dict[str, float]]:
    """Bits a sequence in training, of all members, at every line of the log."""
    lines = (line for line in runs.read_metrics(workdir) if line["kind"] == "training")
    names = ("lower_quartile", "median", "upper_quartile")
    return [
        {"sequences": line["sequences"], **{key: line["bits_per_sequence"][key] for key in names}}
        for line in lines
    ]


if __name__ == "__main__":
    app.run(main)
