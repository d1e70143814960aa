"""The LSTM of the paper's table 3 on priority sort.

python train.py --config=configs/priority_sort_lstm.py

Not run to its end yet: it claims nothing.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The LSTM of table 3, on priority sort (section 4.5)."""
    config = default("priority_sort", "skip_lstm")
    config.model.hidden_size = 128
    config.num_steps = 6000
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2000
    config.adam_b2 = 0.999  # the usual one
    return config
