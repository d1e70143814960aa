"""The LSTM of the paper's table 3 on associative recall.

python train.py --config=configs/associative_recall_lstm.py

Three seeds, 40,000 sequences each on one core of a 2-core CPU machine: none has learned
lists of 2 to 6 items. How far they got stands in RESULTS.md and in
benchmarks/results/ensembles/associative_recall_lstm.json.
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The LSTM of table 3, on associative recall (section 4.3)."""
    config = default("associative_recall", "skip_lstm")
    config.model.hidden_size = 256
    config.num_steps = 2500
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 1000
    config.adam_b2 = 0.999  # the usual one
    return config
