"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py

Not run since the kernel of what moves the heads starts at zero: no result is claimed.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on copy (section 4.1)."""
    config = default("copy", "ntm")
    config.model.controller = "lstm"
    # In trials with seeds 11 and 12, these were solved after 5,000 and 4,500 updates. With a zero
    # state neither was in 10,000; at a constant rate one after 8,000, the other not in 10,000; at a
    # rate of 2e-3 gradients exploded, and what was learned was lost again in both.
    config.model.controller_start = "learned"
    config.learning_rate = 1e-3
    return config
