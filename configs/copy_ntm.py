"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached on a 2-core CPU machine: seed 0 took 59 s from typing the command to the end
(benchmarks/results/copy_ntm_alone.json). Seeds 0 to 29 were all solved, after 2,500 to 5,000
updates; trained on for 10,000 more, they made no mistake in the evaluation, up to 300 vectors in
512 slots, and 29 of them none at 1,000 in 2,048 (ensembles/copy_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
