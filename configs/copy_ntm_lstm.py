"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on copy (section 4.1)."""
    config = default("copy", "ntm")
    config.model.controller = "lstm"
    # From a zero state the first vector of some sequences was not told from none at all.
    config.model.controller_start = "learned"
    # Its gradients explode now and then; a rate that falls holds on to what is learned.
    config.learning_rate_half_life = 4000
    return config
