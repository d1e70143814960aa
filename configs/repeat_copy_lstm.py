"""The LSTM of the paper's table 3 on repeat copy.

python train.py --config=configs/repeat_copy_lstm.py

Not run to its end yet: it claims nothing.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The LSTM of table 3, on repeat copy (section 4.2)."""
    config = default("repeat_copy", "skip_lstm")
    config.model.hidden_size = 512
    config.num_steps = 5000
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2000
    config.adam_b2 = 0.999  # the usual one
    return config
