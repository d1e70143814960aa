"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    return default("copy", "ntm")
