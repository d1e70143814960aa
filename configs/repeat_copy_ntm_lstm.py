"""The Neural Turing Machine with an LSTM controller on repeat copy.

python train.py --config=configs/repeat_copy_ntm_lstm.py

Reached on one core of a 2-core CPU machine: seeds 0 to 9, one of them begun anew, ten at once in 60
minutes, had learned 10 vectors 10 times after 7,000 to 16,000 updates, and at the end all have less
than 0.1 wrong bits there; the median seed says 44 % of 20 vectors 10 times without one. None counts
to 20 (benchmarks/results/ensembles/repeat_copy_ntm_lstm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on repeat copy (section 4.2)."""
    config = default("repeat_copy", "ntm")
    config.num_steps = 24_000
    config.learning_rate_half_life = 6000
    config.eval_every = 1000
    # For a seed that has not begun to count by then.
    config.restart_after = 8000
    config.model.controller = "lstm"
    config.model.controller_start = "learned"
    # It has to find the first vector again, not to walk alone.
    config.model.content_reads = 1
    # What it learns about sequences of up to 10 vectors then holds for longer ones.
    config.model.head_noise = 0.5
    return config
