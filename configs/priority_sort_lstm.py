"""LSTM of the paper's table 3 on priority sort (section 4.5).

Three layers of 128, as in the table; its number of parameters does not match them.

Command: python train.py --config=configs/priority_sort_lstm.py
Result: none of seeds 0 to 2 is solved. After 96,000 sequences the median seed makes 46 bit errors
  per sequence, of 128.
Wall time: 9 min for the three seeds together, on one core of a 2-core CPU (AMD EPYC).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("priority_sort", "lstm_skip")
    config.task.min_vectors = 20  # as in the paper
    config.model.hidden_size = 128
    config.num_train_steps = 6000
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2000
    config.adam_b2 = 0.999  # the default of optax
    return config
