"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached on a 2-core CPU machine: seed 0 took 72 s from typing the command to the end
(benchmarks/results/copy_ntm_alone.json). Of seeds 0 to 9, nine were solved, after 4,500 to 5,500
updates, and made no mistake in the evaluation (copy_ntm.json). In seed 4 the heads walk down,
against their initial push, and a vector without ones in the input, or with a single one, turns them
round: to a controller without a state it looks like a step of the answer.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
