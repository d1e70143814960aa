"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py

Reached on a 2-core CPU machine: seeds 0 to 29 were all solved, after 4,500 to 6,000 updates.
Trained on for 10,000 more, one failed a single evaluation, none collapsed. Then 29 made no mistake
up to length 120, all 30 none with 300 vectors in 512 slots, and 25 none with 1,000 in 2,048
(benchmarks/results/ensembles/copy_ntm_lstm.json). Those machines shared their processor.
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


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
