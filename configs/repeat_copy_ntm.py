"""The Neural Turing Machine with a feed-forward controller on repeat copy.

python train.py --config=configs/repeat_copy_ntm.py

Reached on one core of a 2-core CPU machine: seeds 0 to 9, one of them begun anew, all say ten
vectors ten times, but few had learned to stop in time after 16,000 updates: two of ten, and the
median seed 57 % of the sequences (benchmarks/results/ensembles/repeat_copy_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on repeat copy (section 4.2)."""
    config = default("repeat_copy", "ntm")
    config.num_steps = 16_000
    config.learning_rate_half_life = 5000
    config.eval_every = 1000
    # One of ten sat on the first plateau, the others had left it after 3,000 updates.
    config.restart_after = 6000
    # It counts by an amount in the memory, which tanh would bound.
    config.model.activation = "relu"
    # It has to find the first vector again, not to walk alone.
    config.model.content_reads = 1
    # What it learns about sequences of up to 10 vectors then holds for longer ones.
    config.model.head_noise = 0.2
    return config
