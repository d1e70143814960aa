"""Measures how models of priority sort find the order, and where they err.

    python -m experiments.priority_sort_analysis --runs=DIR

DIR is the --runs directory of experiments/ensembles.py. priority_sort_analysis.jsonl gets one line
per config: for 20 and for 30 vectors, the bit errors per sequence of each seed, by the smallest gap
between two priorities of a sequence; and for 20 vectors, how often the heads of a seed visit the
slot of the next vector in order.
"""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, logging

from experiments import cli, results
from ntm_jax import models
from ntm_jax.evaluation import TrainedModel
from ntm_jax.training.restore import load_run

CONFIGS = ("priority_sort_ntm", "priority_sort_ntm_lstm")
COUNTS = (20, 30)
# Priorities are uniform in [-1, 1].
EDGES = (0.0, 3e-4, 1e-3, 3e-3, 1e-2, 2.0)
_NUM_SEQUENCES = 4096
_NUM_TRACED = 64


def main(argv: list[str]) -> None:
    """Counts where there is no stored line."""
    del argv
    logging.set_verbosity(logging.WARNING)
    for name in CONFIGS:
        workdir = Path(cli.RUNS.value) / name
        if workdir.exists() and not results.find("priority_sort_analysis", name=name):
            trained = load_run(workdir)
            line = {
                "name": name,
                "command": "python -m experiments.priority_sort_analysis --runs=runs",
                "host": cli.host(),
                "num_sequences": _NUM_SEQUENCES,
                "edges": EDGES,
                "bit_errors": {count: _errors(trained, count) for count in COUNTS},
                "in_order": _in_order(trained),
            }
            results.append("priority_sort_analysis", line)


def errors_by_gap(gaps: np.ndarray, errors: np.ndarray) -> list[float]:
    """Returns the mean of the errors [B] of the sequences whose gap [B] is between two `EDGES`."""
    bins = np.digitize(gaps, EDGES) - 1
    return [float(np.mean(errors[bins == index])) for index in range(len(EDGES) - 1)]


def _errors(trained: TrainedModel, count: int) -> list[list[float]]:
    """Returns the bit errors per sequence of each seed, by the smallest gap."""
    batch = trained.task.sample_size(jax.random.key(cli.SEED), _NUM_SEQUENCES, count)
    priorities = jnp.sort(batch.inputs[:, :count, -2], axis=1)
    gaps = np.asarray(jnp.min(jnp.diff(priorities, axis=1), axis=1))

    @jax.jit
    def count_errors(params: Any) -> jax.Array:
        logits = trained.model.apply({"params": params}, batch.inputs)
        return trained.task.metrics(logits, batch)["bit_errors_per_sequence"]

    return [errors_by_gap(gaps, np.asarray(count_errors(params))) for params in _members(trained)]


def visits_in_order(weights: np.ndarray, slots: np.ndarray, delay: int) -> np.ndarray:
    """Returns how often each head is on the slot of the next vector, [H].

    Args:
      weights: weightings of the steps of the answer, [B, K, H, N].
      slots: slot of the vector of each step, [B, K].
      delay: steps after which the head visits the slot.
    """
    num_steps = slots.shape[1] - delay
    visited = weights[:, delay:].argmax(axis=-1)
    return np.mean(visited == slots[:, :num_steps, None], axis=(0, 1))


def _in_order(trained: TrainedModel) -> list[dict[str, float]]:
    """Returns for each seed how often a read head, and a write head one step later, is in order."""
    model, task = trained.model, trained.task
    count = task.max_train_size[0]
    batch = task.sample_size(jax.random.key(cli.SEED), _NUM_TRACED, count)
    order = np.argsort(-np.asarray(batch.inputs[:, :count, -2]), axis=1)[:, : task.num_sorted]

    @jax.jit
    def trace(params: Any) -> tuple[jax.Array, jax.Array]:
        _, steps = jax.vmap(lambda inputs: models.trace(model, params, inputs))(batch.inputs)
        return steps.read_weights, steps.write_weights

    rows = []
    for params in _members(trained):
        reads, writes = map(np.asarray, trace(params))
        # The vectors are where the one or the other write head was at their step.
        written = np.moveaxis(writes[:, :count].argmax(axis=-1), -1, 0)
        candidates = [np.take_along_axis(slots, order, axis=1) for slots in written]
        # A vector is read in the step in which it is output, or one step earlier.
        answers = [slice(first, first + task.num_sorted) for first in (count, count + 1)]
        fractions = [
            (
                visits_in_order(reads[:, answer], slots, 0).max(),
                visits_in_order(writes[:, answer], slots, 1).max(),
            )
            for slots, answer in itertools.product(candidates, answers)
        ]
        read, write = max(fractions)
        rows.append({"read": round(float(read), 4), "write": round(float(write), 4)})
    return rows


def _members(trained: TrainedModel) -> list[Any]:
    return [
        jax.tree.map(lambda leaf, i=i: leaf[i], trained.params) for i in range(len(trained.seeds))
    ]


if __name__ == "__main__":
    app.run(main)
