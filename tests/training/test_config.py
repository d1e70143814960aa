import re

import pytest

from ntm_jax.training import config as configs


def settings(**overrides):
    config = configs.default("copy", "ntm")
    config.update_from_flattened_dict(overrides)
    return config


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", -1, "seed: expected from 0"),
        ("num_steps", 0, "num_steps: expected greater than 0, got 0"),
        ("batch_size", -3, "batch_size: expected greater than 0, got -3"),
        ("learning_rate", 0.0, "learning_rate: expected greater than 0"),
        ("adam_b2", 1.0, "adam_b2: expected at least 0 and less than 1, got 1.0"),
        ("learning_rate", float("nan"), "learning_rate: expected a finite number"),
        ("optimizer", "sgd", "optimizer: expected one of ('adam', 'graves_rmsprop')"),
        ("eval_lengths", (), "eval_lengths: expected one or more whole numbers"),
        ("eval_lengths", (0,), "eval_lengths: expected one or more whole numbers"),
        ("eval_every", 75, "eval_every: expected a multiple of log_every (100), got 75"),
        ("task.name", "sort", "task.name: expected one of ('copy', "),
        ("model.name", "gpt", "model.name: expected one of"),
        ("model.controller", "mlp", "model.controller: expected one of"),
        ("model.activation", "swish", "model.activation: expected one of"),
        ("model.num_slots", 0, "model.num_slots: expected greater than 0"),
        ("model.train_slots", (24, 0), "model.train_slots: expected whole numbers greater than 0"),
        ("model.max_shift", -1, "model.max_shift: expected at least 0"),
        ("model.hidden_sizes", (0,), "model.hidden_sizes: expected whole numbers"),
        ("model.content_reads", 2, "model.content_reads: expected at most num_read_heads (1), got"),
        ("model.memory_start", "zero", "model.memory_start: expected one of"),
        ("model.dtype", "float16", "model.dtype: expected one of"),
        ("curriculum", "naive", "curriculum: expected one of ('none', 'uniform', 'growing')"),
        ("curriculum_updates", 0, "curriculum_updates: expected greater than 0"),
        ("ema_decay", 0.99999999, "ema_decay: expected at least 0 and less than 1"),
        ("learning_rate", 1e39, "learning_rate: expected a number from -1e+30 to 1e+30"),
        ("batch_size", 10**10, "batch_size: expected at most 1000000000, got 10000000000"),
        ("model.max_shift", 65, "model.max_shift: expected at most 64, got 65"),
        ("model.train_slots", (True,), "model.train_slots: expected whole numbers"),
        ("eval_lengths", (10**10,), "eval_lengths: expected one or more whole numbers"),
        ("eval_lengths", (3,) * 65, "eval_lengths: expected at most 64 numbers, got (3, 3,"),
    ],
)
def test_a_bad_value_is_named_in_one_line(name, value, said):
    with pytest.raises(configs.ConfigError, match="^" + re.escape(said)) as error:
        configs.validate(settings(**{name: value}))
    assert "\n" not in str(error.value)


def test_a_name_too_many_or_too_few_is_named():
    config = configs.default()
    config.lerning_rate = 1.0
    with pytest.raises(configs.ConfigError, match="lerning_rate: .*did you mean learning_rate"):
        configs.validate(config)
    config = configs.default()
    del config.clip_norm
    with pytest.raises(configs.ConfigError, match="clip_norm: expected a value such as 1.0"):
        configs.validate(config)


def test_a_config_of_an_older_version_is_filled_with_what_it_was_trained_by():
    stored = settings().to_dict()
    del stored["clip_value"], stored["task"]["blank_rate"]
    for name in ("train_slots", "segment", "head_noise"):
        del stored["model"][name]
    filled = configs.from_dict(stored)
    configs.validate(filled)
    assert filled == settings(**{"model.train_slots": ()})
