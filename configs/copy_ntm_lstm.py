"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py

Reached, one seed a run, one core of a shared 2-core CPU machine: 2 of 2 seeds copied 10 to 120,
after 5,000 and 12,500 updates (benchmarks/results/copy_ntm_lstm.json); more seeds are still to
be run.
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
