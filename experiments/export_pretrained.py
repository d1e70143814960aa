"""Trains a model to ship with the package, and writes its parameters and its model card.

    python -m experiments.export_pretrained --name=copy_ntm

Seeds are trained one after the other, from 0 on, each for up to 10,000 steps after it is solved.
The first one whose errors are within the limits of its task, on 256 sequences per size, is shipped.
The card has these limits, and evaluations on 256 other sequences per size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags, logging

from experiments import cli
from ntm_jax.tasks.associative_recall import AssociativeRecall
from ntm_jax.tasks.ngrams import Ngrams
from ntm_jax.tasks.priority_sort import PrioritySort
from ntm_jax.tasks.repeat_copy import RepeatCopy
from ntm_jax.training import model_files
from ntm_jax.training.restore import load_run

_NAME = flags.DEFINE_string("name", None, "Name of the config and of the model.", required=True)

_STEPS_AFTER_SOLVED = 10_000
_SELECTION_SEED = cli.SEED + 1


class Limit(NamedTuple):
    """The largest error at which a model is shipped, at one size; None if there is no limit."""

    size: dict[str, int]
    num_slots: int
    error: float | None


_REPEAT, _RECALL = RepeatCopy.thresholds, AssociativeRecall.thresholds
# No error for copy, and the thresholds of the other tasks.
LIMITS = {
    "copy": [
        *(Limit({"length": n}, 128, 0.0) for n in (10, 20, 40, 80, 120)),
        Limit({"length": 300}, 512, 0.0),
        Limit({"length": 1000}, 2048, 0.0),
    ],
    "repeat_copy": [
        Limit({"length": 10, "repeats": 10}, 128, _REPEAT.in_distribution),
        Limit({"length": 20, "repeats": 10}, 128, _REPEAT.out_of_distribution),
        Limit({"length": 10, "repeats": 20}, 128, None),
        Limit({"length": 20, "repeats": 20}, 128, None),
    ],
    "associative_recall": [
        *(Limit({"items": n}, 128, _RECALL.in_distribution) for n in (2, 6)),
        *(Limit({"items": n}, 128, _RECALL.out_of_distribution) for n in (12, 20)),
    ],
    "ngrams": [Limit({"length": 200}, 200, Ngrams.thresholds.in_distribution)],
    "priority_sort": [
        Limit({"count": 20}, 64, PrioritySort.thresholds.in_distribution),
        *(Limit({"count": n}, 64, None) for n in (10, 15, 30, 40)),
    ],
}


def main(argv: list[str]) -> None:
    """Trains seeds until one is within the limits, and writes the files of the package."""
    del argv
    logging.set_verbosity(logging.WARNING)
    name, path = _NAME.value, cli.config_path(_NAME.value)
    config = cli.load_config(path)
    limits = LIMITS[config.task.name]
    with cli.runs_dir() as runs:
        for seed in range(100):
            workdir = runs / f"{name}_seed{seed}"
            overrides = {
                "seed": seed,
                "train_steps_after_solved": _STEPS_AFTER_SOLVED,
                "num_train_steps": config.num_train_steps + _STEPS_AFTER_SOLVED,
            }
            command = cli.train(path, overrides, workdir)
            trained = load_run(workdir)
            rows = _evaluate(workdir, limits, _SELECTION_SEED)
            errors = [row[trained.task.metric] for row in rows]
            print(f"seed {seed}: {trained.task.metric} {errors}", flush=True)
            if all(
                limit.error is None or error <= limit.error
                for limit, error in zip(limits, errors, strict=True)
            ):
                break
        card = {
            "command": command,
            "selection": "the first seed, from 0 on, within these limits on other sequences",
            "limits": [
                {**limit.size, "num_slots": limit.num_slots, trained.task.metric: limit.error}
                for limit in limits
                if limit.error is not None
            ],
            "config": dict(trained.config),
            "training": cli.load_summary(workdir),
            "measured": _evaluate(workdir, limits, cli.SEED),
        }
        path = model_files.PRETRAINED / f"{name}.npz"
        model_files.save_model(path, trained.first_params, card)


def _evaluate(workdir: Path, limits: Sequence[Limit], seed: int) -> list[dict[str, Any]]:
    """Returns the evaluations of a run at the sizes and slots of the limits."""
    rows = []
    for limit in limits:
        sizes = {axis: [value] for axis, value in limit.size.items()}
        evaluation = cli.evaluate(workdir, sizes, limit.num_slots, seed=seed)
        (row,) = evaluation["results"]
        rows.append({"num_slots": limit.num_slots, **row})
    return rows


if __name__ == "__main__":
    app.run(main)
