"""The copy experiment of flomlo/ntm_keras, with the settings that it prints.

python train.py --config=configs/copy_ntm_keras_original.py

Its dense controller has 3,100 parameters. **Not solved**: seed 0 reached 74, 73, 68, 61 and 53 % of
the bits at lengths 5, 10, 20, 40 and 80 (benchmarks/results/copy_ntm_keras_original.json) and had
not moved for 5,000 updates, where ntm_keras reports about 20 of 30 runs solved. It took 60 minutes
on one core of a 2-core CPU machine, beside other work. configs/copy_ntm_keras.py trains the same
machine by other settings.
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """flomlo/ntm_keras: its task, its sizes, its optimizer."""
    config = default("copy", "ntm")
    config.task.format = "ntm_keras"
    config.task.min_length = 5
    config.num_steps = 10_000
    config.batch_size = 100
    config.learning_rate = 5e-4
    config.learning_rate_half_life = 0
    config.adam_b2 = 0.999  # the usual one, as in ntm_keras
    config.clip_norm = 10.0
    config.log_every = 50
    config.eval_lengths = (5, 10, 20, 40, 80)
    # Its "dense" controller: one dense layer from inputs and reads to heads and output.
    config.model.hidden_sizes = ()
    config.model.output_from_reads = False
    config.model.memory_start = "constant"  # as it was run
    config.model.memory_scale = 1e-6
    config.model.train_slots = ()  # with all 128, as in ntm_keras
    config.ema_decay = 0.0  # as it was run
    config.model.strength_bias = 0.0
    return config
