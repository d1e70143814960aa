"""The LSTM of the paper's table 3 on priority sort.

python train.py --config=configs/priority_sort_lstm.py

Three seeds, 96,000 sequences each on one core of a 2-core CPU machine: how far they got stands in
RESULTS.md and in benchmarks/results/ensembles/priority_sort_lstm.json. The printed number of
parameters of the paper's table 3 fits no reading of its row; the three layers of 128 are what is
printed beside it.
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


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
