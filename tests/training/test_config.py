import re

import pytest

from ntm_jax.training import config as configs
from ntm_jax.training import legacy
from ntm_jax.training.experiment import Experiment


def changed(**values):
    config = configs.default("copy", "ntm")
    config.update_from_flattened_dict(values)
    return config


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "seed: expected at least 0, got -1"),
        ("num_train_steps", 0, "num_train_steps: expected at least 1, got 0"),
        ("batch_size", -3, "batch_size: expected at least 1, got -3"),
        ("batch_size", True, "batch_size: expected an integer, got True"),
        ("learning_rate", 0.0, "learning_rate: expected a number greater than 0"),
        ("adam_b2", 1.0, "adam_b2: expected a number from 0 to less than 1, got 1.0"),
        ("learning_rate", float("nan"), "learning_rate: expected a finite number"),
        ("optimizer", "sgd", "optimizer: expected one of ('adam', 'rmsprop_graves2013')"),
        ("eval_lengths", (), "eval_lengths: expected at least one integer"),
        ("eval_lengths", (0,), "eval_lengths: expected integers from 1 to"),
        (
            "eval_every_steps",
            75,
            "eval_every_steps: expected a multiple of log_every_steps (100), got 75",
        ),
        ("num_seeds", 10_001, "num_seeds: expected at most 10000"),
        ("task.name", "sort", "task.name: expected one of ('copy', "),
        ("model.name", "gpt", "model.name: expected one of"),
        ("model.controller", "mlp", "model.controller: expected one of"),
        ("model.activation", "swish", "model.activation: expected one of"),
        ("model.num_slots", 0, "model.num_slots: expected at least 1, got 0"),
        ("model.train_num_slots", (24, 0), "model.train_num_slots: expected integers from 1"),
        ("model.max_shift", -1, "model.max_shift: expected at least 0"),
        ("model.hidden_sizes", (0,), "model.hidden_sizes: expected integers from 1"),
        ("model.num_content_read_heads", 2, "model.num_content_read_heads: expected "),
        ("model.addressing_noise_std", -1.0, "model.addressing_noise_std: expected "),
        ("model.remat_chunk_size", -1, "model.remat_chunk_size: expected "),
        ("model.memory_init", "zero", "model.memory_init: expected one of"),
        ("model.head_init", "zero", "model.head_init: expected one of"),
        ("model.controller_init", "one", "model.controller_init: expected one of"),
        ("model.dtype", "float16", "model.dtype: expected one of"),
        ("curriculum", "naive", "curriculum: expected one of ('uniform', 'max_size', 'growing')"),
        ("curriculum_steps", 0, "curriculum_steps: expected at least 1"),
        ("ema_decay", 0.99999999, "ema_decay: expected a number from 0 to less than 1"),
        ("learning_rate", 1e39, "learning_rate: expected a number from -1e+30 to 1e+30"),
        ("batch_size", 10**10, "batch_size: expected at most 1000000000, got 10000000000"),
        ("model.max_shift", 65, "model.max_shift: expected at most 64, got 65"),
        ("model.train_num_slots", (True,), "model.train_num_slots: expected integers from 1"),
        ("eval_lengths", (10**10,), "eval_lengths: expected integers from 1 to 1000000000"),
        ("eval_lengths", (3,) * 65, "eval_lengths: expected at most 64 integers, got (3, 3,"),
    ],
)
def test_invalid_value_is_named_in_one_line(key, value, message):
    with pytest.raises(configs.ConfigError, match="^" + re.escape(message)) as error:
        Experiment.from_config(changed(**{key: value}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", ["lstm_skip", "gru", "transformer"])
def test_invalid_baseline_value_is_named(model):
    config = configs.default("copy", model)
    config.model.num_layers = 0
    with pytest.raises(configs.ConfigError, match=r"^model\.num_layers: expected at least 1"):
        Experiment.from_config(config)


def test_unknown_key_suggests_a_valid_one():
    config = configs.default()
    config.lerning_rate = 1.0
    with pytest.raises(configs.ConfigError, match="lerning_rate: .*did you mean learning_rate"):
        configs.validate(config)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("lerning_rate", "lerning_rate: unknown key; did you mean learning_rate?"),
        ("num_slots", "num_slots: unknown key; did you mean model.num_slots?"),
        ("xyz", "xyz: unknown key; valid keys: adam_b2, adam_eps, "),
    ],
)
def test_keys_are_listed_without_a_close_match(key, expected):
    message = configs.unknown_key_message(key, configs.default())
    assert message.startswith(expected)
    assert ("valid keys" in message) == (key == "xyz")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimizer", 3, "optimizer: expected a string, got 3"),
        ("eval_lengths", 3, "eval_lengths: expected a tuple of integers, got 3"),
    ],
)
def test_wrong_type_is_named_in_words(key, value, message):
    with pytest.raises(configs.ConfigError, match="^" + re.escape(message)):
        configs.validate(configs.default().to_dict() | {key: value})


def test_missing_key_is_named():
    config = configs.default()
    del config.max_grad_norm
    with pytest.raises(configs.ConfigError, match="max_grad_norm: expected a value such as 1.0"):
        configs.validate(config)


def test_last_seed_fits_into_32_bits():
    configs.validate(changed(seed=2**32 - 2, num_seeds=2))
    with pytest.raises(configs.ConfigError, match="num_seeds: expected seeds up to 4294967295"):
        configs.validate(changed(seed=2**32 - 1, num_seeds=2))


@pytest.mark.parametrize(("old", "new"), legacy.RENAMED_KEYS.items())
def test_old_key_is_answered_by_its_new_name(old, new):
    config = configs.default("copy", "transformer" if new == "model.d_model" else "ntm")
    section, _, key = old.rpartition(".")
    (config[section] if section else config)[key] = 1
    with pytest.raises(configs.ConfigError, match=f"^{re.escape(old)}: renamed to {new}$"):
        configs.validate(config)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [(key, old, new) for key, v in legacy.RENAMED_VALUES.items() for old, new in v.items()],
)
def test_old_value_is_answered_by_its_new_name(key, old, new):
    with pytest.raises(configs.ConfigError, match=f"^{key}: '{old}' was renamed to '{new}'$"):
        Experiment.from_config(changed(**{key: old}))


def test_eval_sizes_are_combinations_once():
    config = configs.default("repeat_copy", "ntm")
    config.eval_lengths, config.eval_repeats = (1, 2, 1), (3, 4, 4)
    assert configs.eval_sizes(config) == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_newer_model_key_gets_its_default():
    stored = configs.default("copy", "ntm").to_dict()
    del stored["model"]["output_from_reads"], stored["task"]["num_bits"]
    assert configs.from_dict(stored) == configs.default("copy", "ntm").to_dict()


def test_dicts_are_valid_configs():
    config = configs.default("copy", "ntm")
    assert configs.from_dict(config.to_dict()) == config.to_dict()
    configs.validate(config.to_dict())
