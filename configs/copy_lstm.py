from ntm_jax.config import default


def get_config():
    config = default("copy", "skip_lstm")
    config.learning_rate = 1e-3
    config.batch_size = 64
    config.num_steps = 10_000
    config.log_every = 20
    config.eval_every = 500
    config.checkpoint_every = 500
    return config
