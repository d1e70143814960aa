"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached on a 2-core CPU machine: seed 0 took 61 s from typing the command to the end
(benchmarks/results/copy_ntm_alone.json). Seeds 0 to 9 were all solved, after 2,500 to 4,500
updates; one of them had one wrong bit in the evaluation, in 256 sequences of 20, and the others
none, at 300 vectors in 512 slots either (copy_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
