"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached, one seed a run, one core of a shared 2-core CPU machine: 8 of 8 seeds solved, after
6,000 to 14,500 updates (benchmarks/results/copy_ntm.json). With the machine to itself, seed 0
took 133 s from typing the command to the end, and first passed the evaluations that it stopped
on after 100 s (copy_ntm_alone.json). Not every order of summation is as lucky: the same seed
with its batch split over two devices was not solved in 20,000 updates
(copy_ntm_split_batch.json).
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
