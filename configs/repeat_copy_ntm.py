"""The Neural Turing Machine with a feed-forward controller on repeat copy.

python train.py --config=configs/repeat_copy_ntm.py

Reached on one core of a 2-core CPU machine: seeds 0 to 9, one of them begun anew, ten at once in 62
minutes, had all learned 10 vectors 10 times after 4,000 to 11,000 updates, and count to 10: at the
end the median seed says 99.8 % of such sequences without a wrong bit, and 94.5 % of 20 vectors 10
times; two have more than 0.1 wrong bits. None counts to 20
(benchmarks/results/ensembles/repeat_copy_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on repeat copy (section 4.2)."""
    config = default("repeat_copy", "ntm")
    config.num_steps = 24_000
    config.learning_rate_half_life = 8000
    config.eval_every = 1000
    # For a seed that has not begun to count by then.
    config.restart_after = 6000
    # It counts by an amount in the memory, which tanh would bound.
    config.model.activation = "relu"
    # It has to find the first vector again, not to walk alone.
    config.model.content_reads = 1
    # With one, and noise on the heads, two of ten had learned after 16,000 updates.
    config.model.num_write_heads = 2
    return config
