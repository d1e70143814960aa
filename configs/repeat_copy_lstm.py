"""LSTM of the paper's table 3 on repeat copy (section 4.2).

Command: python train.py --config=configs/repeat_copy_lstm.py
Result: none of seeds 0 to 2 is solved. After 20,000 sequences the median seed makes 317 bit errors
  per sequence of 801 with length 10 and 10 repeats, where chance is 400.
Wall time: 86 min for the three seeds together, on one core of a 2-core CPU (Intel Xeon).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("repeat_copy", "lstm_skip")
    config.model.hidden_size = 512
    config.num_train_steps = 1250
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 500
    config.adam_b2 = 0.999  # the default of optax
    return config
