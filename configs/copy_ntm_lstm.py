"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py

Reached on a 2-core CPU machine: seeds 0 to 9 were all solved, after 4,000 to 5,500 updates, and
made no mistake in the evaluation; at 300 vectors in 512 slots, eight of them made none
(benchmarks/results/copy_ntm_lstm.json). The machine was shared: its times are not to be quoted.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on copy (section 4.1)."""
    config = default("copy", "ntm")
    config.model.controller = "lstm"
    # From zeros, two of ten trial seeds had not learned to copy after 3,000 updates.
    config.model.controller_start = "learned"
    # As for the feed-forward controller.
    config.model.head_noise = 1.0
    config.adam_eps = 1e-4
    # Silence is zeros too; so that vectors of zeros before the delimiter are not taken for it.
    config.task.blank_rate = 0.1
    config.restart_after = 6000
    return config
