"""The Neural Turing Machine with an LSTM controller on the copy task.

python train.py --config=configs/copy_ntm_lstm.py

Reached, one seed a run, one core of a shared 2-core CPU machine: 2 of 2 seeds copied 10 to 120,
after 5,000 and 12,500 updates (benchmarks/results/copy_ntm_lstm.json); more seeds are still to
be run. The settings were chosen with these two seeds in view: two earlier ones (batch 16 at a
constant rate; a zero start, shift_bias 4 and a half-life of 3,000) left seed 0 unsolved.
"""

from ml_collections import ConfigDict

from ntm_jax.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on copy (section 4.1)."""
    config = default("copy", "ntm")
    config.model.controller = "lstm"
    # From a zero state, with shift_bias 4, seed 0 went on failing on about 3 % of the sequences;
    # which of the changes mended it was not tried apart.
    config.model.controller_start = "learned"
    # Its gradients explode now and then; in one trial a constant rate lost what was learned.
    config.learning_rate_half_life = 4000
    return config
