"""Trains three seeds of every task of the Chomsky hierarchy, and scores them at lengths 41 to 500.

    python -m experiments.chomsky --tasks=parity_check,reverse_string

chomsky.jsonl gets one line per task: the summary of training, and for each seed the length that a
growing curriculum reached and the fraction of correct symbols at each length. A task with a stored
line is not trained again; with --runs, an interrupted run is resumed.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from configs import chomsky
from experiments import cli, results
from experiments.chomsky_tasks import ChomskyTask
from ntm_jax.evaluation import TrainedModel
from ntm_jax.training.restore import load_run

_TASKS = flags.DEFINE_list("tasks", [*chomsky.TASKS], "Tasks to train.")

_NUM_SEEDS = 3
_NUM_SEQUENCES = 4  # per length
LENGTHS = range(41, 501)
_NUM_SLOTS = 1024  # more than one for each symbol of the longest string
_LENGTHS_PER_CALL = 20


def main(argv: list[str]) -> None:
    """Trains and evaluates the tasks that have no stored line."""
    del argv
    for name in _TASKS.value:
        if results.find("chomsky", name=name):
            print(f"{name} has a line in chomsky.jsonl; remove it to train again")
            continue
        config = f"configs/chomsky.py:{name}"
        with cli.runs_dir() as runs:
            workdir = runs / f"chomsky_{name}"
            line: dict[str, Any] = {
                "name": name,
                "config": config,
                "command": cli.train(config, {"num_seeds": _NUM_SEEDS}, workdir),
                "host": cli.host(),
                "summary": cli.load_summary(workdir),
                "longest_training_length": longest_training_length(workdir),
                "num_slots": _NUM_SLOTS,
                "sequences_per_length": _NUM_SEQUENCES,
                "accuracy": _evaluate(workdir),
            }
        results.append("chomsky", line)


def longest_training_length(workdir: Path) -> list[float] | None:
    """Returns the length that the curriculum of each seed reached; None without a growing one."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    last = [line for line in lines if line["kind"] == "training"][-1]
    if "curriculum_progress" not in last:
        return None
    shortest, longest = ChomskyTask.min_length, ChomskyTask.max_length
    progress = last["curriculum_progress"]["members"]
    return [round(shortest + each * (longest - shortest), 1) for each in progress]


def _evaluate(workdir: Path) -> list[list[float]]:
    """Returns for each seed the accuracy at each of `LENGTHS`."""
    trained = load_run(workdir, _NUM_SLOTS)
    accuracies = [
        accuracy_by_length(trained, LENGTHS[start : start + _LENGTHS_PER_CALL], _NUM_SEQUENCES)
        for start in range(0, len(LENGTHS), _LENGTHS_PER_CALL)
    ]
    return np.round(np.concatenate(accuracies, axis=1), 4).tolist()


def accuracy_by_length(trained: TrainedModel, lengths: range, num_sequences: int) -> np.ndarray:
    """Computes the fraction of correct symbols at each length, for each member, [E, L].

    Args:
      trained: the members, trained on a `ChomskyTask`.
      lengths: L lengths; all sequences are padded to the last one.
      num_sequences: sequences per length.
    """
    task, model = trained.task, trained.model
    assert isinstance(task, ChomskyTask)

    @jax.jit
    def count(params: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        batch = task.sample_lengths(
            key, jnp.repeat(jnp.array(lengths), num_sequences), max(lengths)
        )

        def num_correct(params: Any) -> jax.Array:
            logits = model.apply({"params": params}, batch.inputs)
            wrong = task.errors(logits, batch.targets)[..., 0]
            return jnp.sum(batch.mask & ~wrong, axis=1)

        return jax.lax.map(num_correct, params), jnp.sum(batch.mask, axis=1)

    key = jax.random.fold_in(jax.random.key(cli.SEED), lengths[0])
    correct, scored = (np.asarray(counts) for counts in count(trained.params, key))
    by_length = [
        counts.reshape(*counts.shape[:-1], -1, num_sequences).sum(axis=-1)
        for counts in (correct, scored)
    ]
    return by_length[0] / by_length[1]


if __name__ == "__main__":
    app.run(main)
