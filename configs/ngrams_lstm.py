"""LSTM of the paper's table 3 on dynamic N-grams (section 4.4).

Command: python train.py --config=configs/ngrams_lstm.py
Result: none of seeds 0 to 2 is solved. After 40,000 sequences the median cost is 30.8 bits per
  sequence above the Bayes-optimal cost, where a solved seed has at most 1.5.
Wall time: 17 min for the three seeds together, on one core of a 2-core CPU (AMD EPYC).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("ngrams", "lstm_skip")
    config.model.hidden_size = 128
    config.num_train_steps = 2500
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 1000
    config.adam_b2 = 0.999  # the default of optax
    return config
