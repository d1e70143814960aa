"""The LSTM of the paper's table 3 on repeat copy.

python train.py --config=configs/repeat_copy_lstm.py

Three seeds, 20,000 sequences each, at once in 86 minutes on one core of a 2-core CPU machine: with
10 vectors 10 times some 317 of 801 bits are wrong, where one who guesses has 400
(benchmarks/results/ensembles/repeat_copy_lstm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The LSTM of table 3, on repeat copy (section 4.2)."""
    config = default("repeat_copy", "skip_lstm")
    config.model.hidden_size = 512
    config.num_steps = 1250
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 500
    config.adam_b2 = 0.999  # the usual one
    return config
