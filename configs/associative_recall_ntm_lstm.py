"""The Neural Turing Machine with an LSTM controller on associative recall.

python train.py --config=configs/associative_recall_ntm_lstm.py

Reached on one core of a 2-core CPU machine that was shared: seeds 0 to 9 had all learned lists of 2
to 6 items after 1,000 to 4,500 updates, one of them begun anew; at the end the median had no wrong
bit there, 0.01 with 12 items and 0.08 with 20
(benchmarks/results/ensembles/associative_recall_ntm_lstm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on recall (section 4.3)."""
    config = default("associative_recall", "ntm")
    config.num_steps = 10_000
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2500
    config.model.controller = "lstm"
    config.model.controller_start = "learned"
    # One of ten seeds had not begun to learn after 10,000 updates, the others had after 2,500.
    config.restart_after = 3000
    # As for the feed-forward controller.
    config.model.content_reads = 1
    config.model.train_slots = (32, 64)
    config.model.head_noise = 0.5
    return config
