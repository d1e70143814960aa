"""Trains many seeds of a config as one ensemble and evaluates every member.

    python -m experiments.ensembles --config=configs/copy_ntm.py

Members train on after they are solved, which shows whether they stay solved. ensembles.jsonl gets
one line per config: the summary of training, the learning curve, and evaluations of all members on
sequences that training did not use. A config with a stored line is not trained again; with --runs,
an interrupted run is resumed.
"""

from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import ConfigDict

from experiments import cli, results
from ntm_jax.tasks import TASKS
from ntm_jax.training.config import eval_key
from ntm_jax.training.run_dir import read_metrics

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "Config to train.")
_SEEDS = flags.DEFINE_integer("num_seeds", 30, "Number of seeds, from the config's seed on.", 1)
_STEPS_AFTER = flags.DEFINE_integer(
    "train_steps_after_solved", 10_000, "Training steps of a member after it is solved.", 0
)

# Values that are evaluated in addition to those of the config, by task and size axis.
_MORE_SIZES: dict[str, dict[str, tuple[int, ...]]] = {
    "copy": {"length": (30, 50)},
    "repeat_copy": {"length": (5, 15), "repeats": (5, 15)},
    "associative_recall": {"items": (3, 4, 5, 8, 10, 15)},
    "priority_sort": {"count": (10, 15, 25, 30, 40)},
}


def main(argv: list[str]) -> None:
    """Trains and evaluates a config that has no stored line."""
    del argv
    name, config = cli.config_name(_CONFIG.value), cli.load_config(_CONFIG.value)
    if results.find("ensembles", name=name):
        print(f"{name} has a line in {results.RESULTS}/ensembles.jsonl; remove it to train again")
        return
    overrides = {
        "num_seeds": _SEEDS.value,
        "train_steps_after_solved": _STEPS_AFTER.value,
        "num_train_steps": config.num_train_steps + _STEPS_AFTER.value,
    }
    with cli.runs_dir() as runs:
        workdir = runs / name
        line: dict[str, Any] = {
            "name": name,
            "config": _CONFIG.value,
            "command": cli.train(_CONFIG.value, overrides, workdir),
            "host": cli.host(),
            "summary": cli.load_summary(workdir),
            "curve": _curve(workdir),
            "evaluation": cli.evaluate(workdir, _sizes(config)),
        }
        if config.model.name == "ntm":
            line["enlarged"] = cli.evaluate_enlarged(workdir, config.task.name)
    results.append("ensembles", line)


def _sizes(config: ConfigDict) -> dict[str, list[int]]:
    """Returns the values of each size axis to evaluate."""
    more = _MORE_SIZES.get(config.task.name, {})
    axes = TASKS[config.task.name].size_axes
    return {axis: sorted({*config[eval_key(axis)], *more.get(axis, ())}) for axis in axes}


def _curve(workdir: Path) -> list[dict[str, float]]:
    """Returns the quartiles over members of the bits per sequence during training."""
    keys = ("lower_quartile", "median", "upper_quartile")
    return [
        {"sequences": line["sequences"], **{key: line["bits_per_sequence"][key] for key in keys}}
        for line in read_metrics(workdir)
        if line["kind"] == "training"
    ]


if __name__ == "__main__":
    app.run(main)
