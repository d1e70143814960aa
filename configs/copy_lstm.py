from ntm_jax.config import default


def get_config():
    config = default("copy", "skip_lstm")
    config.learning_rate = 5e-4
    config.batch_size = 16
    config.num_steps = 20_000
    config.log_every = 50
    config.eval_every = 1000
    config.checkpoint_every = 1000
    return config
