"""The Neural Turing Machine with a feed-forward controller on associative recall.

python train.py --config=configs/associative_recall_ntm.py

Reached on one core of a 2-core CPU machine: seed 0 alone took 41 s
(ntm_jax/machines/associative_recall_ntm.json). Seeds 0 to 9 had all learned lists of 2 to 6 items
after 1,000 to 6,000 updates; at the end the median had no wrong bit there, 0.15 with 12 items and
0.29 with 20 (benchmarks/results/ensembles/associative_recall_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on recall (section 4.3)."""
    config = default("associative_recall", "ntm")
    config.num_steps = 10_000
    config.learning_rate = 1e-3
    config.learning_rate_half_life = 2500
    # Of heads that all walk from the start, few learn to look for the queried item.
    config.model.content_reads = 1
    # Room for the longest list with its delimiters and its query, and twice as much.
    config.model.train_slots = (32, 64)
    # Longer lists hold more that is like the query: what is found is to be found by a margin.
    config.model.head_noise = 0.5
    return config
