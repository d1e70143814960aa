"""The LSTM of the paper's table 3 on dynamic N-grams.

python train.py --config=configs/ngrams_lstm.py

Three seeds, 40,000 sequences each on one core of a 2-core CPU machine: none has come within 1.5
bits of the optimum. How far they got stands in RESULTS.md and in
benchmarks/results/ensembles/ngrams_lstm.json.
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The LSTM of table 3, on dynamic N-grams (section 4.4)."""
    config = default("ngrams", "skip_lstm")
    config.model.hidden_size = 128
    config.num_steps = 2500
    config.batch_size = 16
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 1000
    config.adam_b2 = 0.999  # the usual one
    return config
