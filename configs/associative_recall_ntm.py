"""NTM with a feed-forward controller on associative recall (section 4.3).

Command: python train.py --config=configs/associative_recall_ntm.py
Result: all of seeds 0 to 9 learned lists of 2 to 6 items, after 1,000 to 6,000 training steps. At
  the end the median seed makes no bit errors with 6 items, 0.14 per sequence with 12 and 0.29 with
  20.
Wall time: 41 s for seed 0 alone, on one core of a 2-core CPU (AMD EPYC).
Result files: experiments/results/ensembles.jsonl, ntm_jax/pretrained/associative_recall_ntm.json
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("associative_recall", "ntm")
    config.num_train_steps = 10_000
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2500
    config.model.num_content_read_heads = 1  # finds the queried item by content
    config.model.train_num_slots = (32, 64)  # the longest training sequence has 32 steps
    config.model.addressing_noise_std = 0.5  # a margin for longer lists, with more similar items
    return config
