"""Counts the bit errors of priority sort by the smallest gap between two priorities.

    python -m experiments.priority_sort_gaps --runs=DIR

DIR is the --runs directory of experiments/ensembles.py. priority_sort_gaps.jsonl gets one line per
config: for 20 and for 30 vectors, the bit errors per sequence of each seed, by the smallest gap in
a sequence.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, logging

from experiments import cli, results
from ntm_jax.training.restore import load_run

CONFIGS = ("priority_sort_ntm", "priority_sort_ntm_lstm")
COUNTS = (20, 30)
# Priorities are uniform in [-1, 1].
EDGES = (0.0, 3e-4, 1e-3, 3e-3, 1e-2, 2.0)
_NUM_SEQUENCES = 4096


def main(argv: list[str]) -> None:
    """Counts where there is no stored line."""
    del argv
    logging.set_verbosity(logging.WARNING)
    for name in CONFIGS:
        workdir = Path(cli.RUNS.value) / name
        if workdir.exists() and not results.find("priority_sort_gaps", name=name):
            line = {
                "name": name,
                "command": "python -m experiments.priority_sort_gaps --runs=runs",
                "host": cli.host(),
                "num_sequences": _NUM_SEQUENCES,
                "edges": EDGES,
                "bit_errors": {count: _errors(workdir, count) for count in COUNTS},
            }
            results.append("priority_sort_gaps", line)


def errors_by_gap(gaps: np.ndarray, errors: np.ndarray) -> list[float]:
    """Returns the mean of the errors [B] of the sequences whose gap [B] is between two `EDGES`."""
    bins = np.digitize(gaps, EDGES) - 1
    return [float(np.mean(errors[bins == index])) for index in range(len(EDGES) - 1)]


def _errors(workdir: Path, count: int) -> list[list[float]]:
    """Returns the bit errors per sequence of each seed, by the smallest gap."""
    trained = load_run(workdir)
    batch = trained.task.sample_size(jax.random.key(cli.SEED), _NUM_SEQUENCES, count)
    priorities = jnp.sort(batch.inputs[:, :count, -2], axis=1)
    gaps = np.asarray(jnp.min(jnp.diff(priorities, axis=1), axis=1))

    @jax.jit
    def count_errors(params):
        logits = trained.model.apply({"params": params}, batch.inputs)
        return trained.task.metrics(logits, batch)["bit_errors_per_sequence"]

    members = [
        jax.tree.map(lambda leaf, i=i: leaf[i], trained.params) for i in range(len(trained.seeds))
    ]
    return [errors_by_gap(gaps, np.asarray(count_errors(params))) for params in members]


if __name__ == "__main__":
    app.run(main)
