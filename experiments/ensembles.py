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
from ml_collections import ConfigDict

from benchmarks import commands, sizes
from ntm_jax.training import run_dir
from ntm_jax.training.config import eval_name
from ntm_jax.tasks import TASKS

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "What to train.")
_SEEDS = flags.DEFINE_integer("num_seeds", 30, "Seeds, from the config's own on.", 1)
_AFTER = flags.DEFINE_integer("updates_after_solved", 10_000, "Updates after it is solved.", 0)
_RUNS = flags.DEFINE_string("runs", None, "Folder to keep the run in; not kept if not given.")


def main(argv: list[str]) -> None:
    """Trains, evaluates, and writes it down."""
    del argv
    file, _, experiment = _CONFIG.value.partition(":")
    name = experiment or Path(file).stem
    config = commands.load_config(_CONFIG.value)
    overrides = {
        "num_seeds": _SEEDS.value,
        "updates_after_solved": _AFTER.value,
        "num_steps": config.num_steps + _AFTER.value,
    }
    with commands.run_folder(_RUNS.value) as folder:
        workdir = folder / name
        document: dict[str, Any] = {
            "config": _CONFIG.value,
            "command": commands.train(_CONFIG.value, overrides, workdir),
            "machine": commands.machine(),
            "summary": commands.summary(workdir),
            "curve": _curve(workdir),
            "evaluation": commands.evaluate(workdir, _numbers(config)),
        }
        if config.model.name == "ntm":
            document["enlarged"] = [
                commands.evaluate(workdir, far.numbers, far.sequences, far.slots)
                for far in sizes.ENLARGED.get(config.task.name, ())
            ]
    commands.write(commands.RESULTS / "ensembles" / f"{name}.json", document)


def _numbers(config: ConfigDict) -> dict[str, list[int]]:
    """Of each axis of the task, what is to be evaluated."""
    further = sizes.FURTHER.get(config.task.name, {})
    axes = TASKS[config.task.name].axes
    return {axis: sorted({*config[eval_name(axis)], *further.get(axis, ())}) for axis in axes}


def _curve(workdir: Path) -> list[dict[str, float]]:
    """Bits a sequence in training, of all members, at every line of the log."""
    lines = (line for line in run_dir.read_metrics(workdir) if line["kind"] == "training")
    names = ("lower_quartile", "median", "upper_quartile")
    return [
        {"sequences": line["sequences"], **{key: line["bits_per_sequence"][key] for key in names}}
        for line in lines
    ]


if __name__ == "__main__":
    app.run(main)
