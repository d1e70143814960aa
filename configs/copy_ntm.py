"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached on a 2-core CPU machine: seed 0 took 76 s from typing the command to the end
(benchmarks/results/copy_ntm_alone.json). Of seeds 0 to 9, eight were solved, after 3,500 to 8,000
updates, and made no mistake in the evaluation (copy_ntm.json). In the other two the read head never
learned to wait while the sequence comes in: its weighting spreads, and seed 5 has to guess where it
set out, while seed 9 finds the way back by content, up to length 40 or so.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
