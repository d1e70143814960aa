"""LSTM of the paper's table 3 on associative recall (section 4.3).

Command: python train.py --config=configs/associative_recall_lstm.py
Result: none of seeds 0 to 2 learned lists of 2 to 6 items from 40,000 sequences. With 6 items the
  median seed makes 7.0 bit errors per sequence, where chance is 9.
Wall time: 26 min for the three seeds together, on one core of a 2-core CPU (AMD EPYC).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("associative_recall", "lstm_skip")
    config.num_train_steps = 2500
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 1000
    config.adam_b2 = 0.999  # the default of optax
    return config
