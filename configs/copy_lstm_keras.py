"""LSTM baseline of flomlo/ntm_keras on the copy task: two layers of 256, 807,200 parameters.

Command: python train.py --config=configs/copy_lstm_keras.py
Result: seed 0 predicts 99.97, 99.8, 92, 53 and 50% of the bits at lengths 5, 10, 20, 40 and 80;
  ntm_keras reports 100, 100, 94, 50 and 50%.
Wall time: 76 min on one core of a shared 2-core CPU (Intel Xeon).
Result file: experiments/results/single_seeds.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("copy", "keras_lstm")
    config.task.format = "ntm_keras"
    config.task.min_length = 5
    config.num_train_steps = 10_000
    config.batch_size = 100
    config.learning_rate = 5e-4
    config.learning_rate_half_life = 0
    config.adam_b2 = 0.999  # the default of optax, as in ntm_keras
    config.max_grad_norm = 10.0
    config.log_every_steps = 20
    config.checkpoint_every_steps = 500
    config.eval_lengths = (5, 10, 20, 40, 80)
    config.ema_decay = 0.0  # the result predates the default
    return config
