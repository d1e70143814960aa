"""NTM with a feed-forward controller on dynamic N-grams (section 4.4).

Command: python train.py --config=configs/ngrams_ntm.py
Result: all of seeds 0 to 9 come within 1.5 bits per sequence of the Bayes-optimal cost, after 1,250
  to 1,500 training steps; the median seed ends 1.2 bits above it.
Wall time: 159 s for seed 0 alone, on one core of a shared 2-core CPU (AMD EPYC).
Result files: experiments/results/ensembles.jsonl, ntm_jax/pretrained/ngrams_ntm.json
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("ngrams", "ntm")
    config.num_train_steps = 2500
    config.learning_rate = 1e-3
    config.log_every_steps = 50
    config.eval_every_steps = 250
    config.model.num_slots = 200  # one per bit
    config.model.train_num_slots = ()
    # One read head follows the write head; the other finds earlier occurrences of the context.
    config.model.num_read_heads = 2
    config.model.num_content_read_heads = 1
    config.model.shift_bias = 5.0
    return config
