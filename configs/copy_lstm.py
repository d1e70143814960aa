"""LSTM of the paper's table 3 on the copy task (section 4.1).

Command: python train.py --config=configs/copy_lstm.py
Result: none of seeds 0 to 2 is solved. After 80,000 sequences each makes at most 0.01 bit errors
  per sequence at length 10, 19 to 20 of 160 at length 20, and nearly chance at lengths 80 and 120.
Wall time: 43 min for the three seeds together, on one core of a 2-core CPU (Intel Xeon).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("copy", "lstm_skip")
    config.num_train_steps = 5000
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2000
    config.adam_b2 = 0.999  # the default of optax
    return config
