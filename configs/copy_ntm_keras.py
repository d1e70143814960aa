"""The copy experiment of flomlo/ntm_keras, with its task, its machine and our training.

python train.py --config=configs/copy_ntm_keras.py

Its dense controller has 3,100 parameters: one layer, so that a gate that is to close needs weights
of several units, and the rate has to be larger. configs/copy_ntm_keras_original.py has the settings
that ntm_keras prints.

Of seeds 0 to 29, 29 were solved after 2,500 to 4,000 updates, stayed so for 10,000 more, and then
had no wrong bit at lengths 5, 10, 20, 40 and 80; one never learned
(benchmarks/results/ensembles/copy_ntm_keras.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """flomlo/ntm_keras: its task and its sizes."""
    config = default("copy", "ntm")
    config.task.format = "ntm_keras"
    config.task.min_length = 5
    config.num_steps = 5000  # then the rate is a thousandth
    config.eval_lengths = (5, 10, 20, 40, 80)
    # Its "dense" controller: one dense layer from inputs and reads to heads and output.
    config.model.hidden_sizes = ()
    config.model.output_from_reads = False
    config.learning_rate = 1e-2
    config.learning_rate_half_life = 500  # a large rate breaks machines that are left at it
    config.adam_b2 = 0.99
    # Heads that walk before anything is learned left some machines at chance; those of which the
    # gates are half open learned sooner, and more of them something else than copying.
    config.model.shift_bias = 0.0
    config.model.gate_bias = -2.0
    config.ema_decay = 0.0  # as it was run
    config.model.strength_bias = 0.0
    return config
