"""A config that trains in seconds; as a --config, that of a model that compiles quickly."""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def tiny_config(model: str = "ntm") -> ConfigDict:
    """Returns the config of a model on the copy task, with small sizes."""
    config = default("copy", model)
    config.num_train_steps = 12
    config.batch_size = 4
    config.log_every_steps = 2
    config.eval_every_steps = 4
    config.checkpoint_every_steps = 4
    config.eval_lengths = (2, 5)
    config.num_eval_sequences = 8
    config.task.max_length = 3
    config.task.num_bits = 2
    if model == "ntm":
        config.model.hidden_sizes = (8,)
        config.model.num_slots = 8
        config.model.train_num_slots = ()
        config.model.slot_width = 4
    return config


def get_config(model: str = "per_step_dense") -> ConfigDict:
    """Returns the config for `--config=tests/support/tiny_config.py`."""
    return tiny_config(model)
