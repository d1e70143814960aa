"""NTM with an LSTM controller on dynamic N-grams (section 4.4).

Command: python train.py --config=configs/ngrams_ntm_lstm.py
Result: all of seeds 0 to 9 come within 1.5 bits per sequence of the Bayes-optimal cost, after 2,000
  to 3,000 training steps; the median seed ends 0.95 bits above it.
Wall time: 58 min for the ten seeds together, on one core of a shared 2-core CPU (AMD EPYC).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("ngrams", "ntm")
    config.num_train_steps = 3500
    config.batch_size = 8
    config.learning_rate = 1e-3
    config.log_every_steps = 50
    config.eval_every_steps = 250
    config.model.controller = "lstm"
    config.model.controller_init = "learned"
    config.model.forget_bias = 1.0  # the controller has to remember the last five bits
    config.model.num_content_read_heads = 1  # finds earlier occurrences of the context
    config.model.num_slots = 200  # one per bit
    config.model.train_num_slots = ()
    return config
