"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached on a 2-core CPU machine: seed 0 took 82 s from typing the command to the end
(benchmarks/results/copy_ntm_alone.json). Of seeds 0 to 5 (copy_ntm.json), four were solved, after
6,000 to 7,500 updates. The other two passed evaluations from 2,500 and 3,500 updates on, but never
five in a row: a sequence with an all-zero vector failed now and then, and one of them strayed from
its solution. Seeds 6 to 9 are still to be run.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
