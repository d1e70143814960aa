"""Copy task and NTM of flomlo/ntm_keras, with its training settings.

The dense controller has one layer and 3,100 parameters. copy_ntm_keras.py converges, with other
training settings.

Command: python train.py --config=configs/copy_ntm_keras_original.py
Result: not solved. Seed 0 predicts 74, 73, 68, 61 and 53% of the bits at lengths 5, 10, 20, 40 and
  80, without progress in the last 5,000 training steps; ntm_keras reports about 20 of 30 runs
  solved.
Wall time: 60 min on one core of a shared 2-core CPU (Intel Xeon).
Result file: experiments/results/single_seeds.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("copy", "ntm")
    config.task.format = "ntm_keras"
    config.task.min_length = 5
    config.num_train_steps = 10_000
    config.batch_size = 100
    config.learning_rate = 5e-4
    config.learning_rate_half_life = 0
    config.adam_b2 = 0.999  # the default of optax, as in ntm_keras
    config.max_grad_norm = 10.0
    config.log_every_steps = 50
    config.eval_lengths = (5, 10, 20, 40, 80)
    # The dense controller: one layer from inputs and read vectors to interface vector and output.
    config.model.hidden_sizes = ()
    config.model.output_from_reads = False
    config.model.train_num_slots = ()  # 128 slots, as in ntm_keras
    # The result predates these defaults.
    config.ema_decay = 0.0
    config.model.memory_init = "constant"
    config.model.memory_init_scale = 1e-6
    config.model.strength_bias = 0.0
    return config
