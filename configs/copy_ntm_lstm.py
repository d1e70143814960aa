"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on copy (section 4.1)."""
    config = default("copy", "ntm")
    # An LSTM makes the machine's gradients explode now and then; a rate that falls holds on to
    # what is learned. A stronger push to walk: its outputs start smaller than a dense layer's.
    config.learning_rate_half_life = 3000
    config.model.controller = "lstm"
    config.model.shift_bias = 4.0
    return config
