"""NTM with an LSTM controller on repeat copy (section 4.2).

Command: python train.py --config=configs/repeat_copy_ntm_lstm.py
Result: all of seeds 0 to 9 learned length 10 with 10 repeats, after 7,000 to 16,000 training steps;
  one was restarted. At the end every seed makes fewer than 0.1 bit errors per sequence there, and
  the median seed makes none in 44% of sequences with length 20 and 10 repeats. No seed generalizes
  to 20 repeats.
Wall time: 60 min for the ten seeds together, on one core of a 2-core CPU (Intel Xeon).
Result file: experiments/results/ensembles.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("repeat_copy", "ntm")
    config.num_train_steps = 24_000
    config.learning_rate_half_life = 6000
    config.eval_every_steps = 1000
    config.restart_after_steps = 8000  # one of ten seeds needs it
    config.model.controller = "lstm"
    config.model.controller_init = "learned"
    config.model.num_content_read_heads = 1  # finds the first vector again by content
    config.model.addressing_noise_std = 0.5  # a margin at the training lengths, for longer ones
    return config
