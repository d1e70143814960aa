"""The LSTM of the paper's table 3 on the copy task.

python train.py --config=configs/copy_lstm.py

Reached by each of three seeds after 80,000 sequences, at once on one core of a 2-core CPU machine
in 43 minutes: 0.01 wrong bits of 80 or fewer at length 10, 19 or 20 of 160 at length 20, and nearly
as many as by chance at 80 and 120 (benchmarks/results/ensembles/copy_lstm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The LSTM of table 3, on copy (section 4.1)."""
    config = default("copy", "skip_lstm")
    config.num_steps = 5000
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2000
    config.adam_b2 = 0.999  # the usual one
    return config
