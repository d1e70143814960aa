"""A shipped config shrunk until it trains in seconds."""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def tiny_config(model: str = "ntm") -> ConfigDict:
    config = default("copy", model)
    config.num_steps = 12
    config.batch_size = 4
    config.log_every = 2
    config.eval_every = 4
    config.checkpoint_every = 4
    config.eval_lengths = (2, 5)
    config.eval_sequences = 8
    config.task.max_length = 3
    config.task.num_bits = 2
    if model == "ntm":
        config.model.hidden_sizes = (8,)
        config.model.num_slots = 8
        config.model.train_slots = ()
        config.model.slot_width = 4
    return config


def get_config(model: str = "dense") -> ConfigDict:
    """So that this file is a --config too."""
    return tiny_config(model)
