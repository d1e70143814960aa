import pytest

from ntm_jax.training import config as configs
from ntm_jax.training import legacy

# Keys and values as commit 0dcff3b wrote them.
OLD_KEYS = {new: old for old, new in legacy.RENAMED_KEYS.items()}


def old_config():
    """Returns the default config of copy and NTM as commit 0dcff3b stored it."""
    old = {}
    for key, value in configs.flatten(configs.default("copy", "ntm")).items():
        section, _, name = OLD_KEYS.get(key, key).rpartition(".")
        names = {v: k for k, v in legacy.RENAMED_VALUES.get(key, {}).items()}
        stored = list(value) if isinstance(value, tuple) else value
        target = old.setdefault(section, {}) if section else old
        target[name] = names.get(stored, stored) if isinstance(stored, str) else stored
    old["model"]["implementation"] = "xla"
    return old


def test_old_config_converts_to_current_names():
    old = old_config()
    assert old["model"]["memory_start"] == "marked"
    assert old["num_steps"] == 20_000
    config = configs.from_dict(old)
    configs.validate(config)
    assert config == configs.default("copy", "ntm").to_dict()


def test_missing_keys_keep_the_old_behaviour():
    old = old_config()
    for key in ("clip_value", "curriculum", "ema_decay", "restart_after", "adam_eps"):
        del old[key]
    for key in ("train_slots", "segment", "head_noise", "content_reads"):
        del old["model"][key]
    del old["task"]["blank_rate"]
    config = configs.from_dict(old)
    configs.validate(config)
    assert config["ema_decay"] == 0.0
    assert config["adam_eps"] == 1e-8
    assert config["restart_after_steps"] == 0
    assert config["model"]["train_num_slots"] == ()
    assert config["model"]["addressing_noise_std"] == 0.0
    assert config["task"]["zero_vector_prob"] == 0.0


def test_old_priority_sort_keeps_its_count():
    config = configs.default("priority_sort", "lstm_skip").to_dict()
    config["task"] = {"name": "priority_sort", "num_vectors": 12, "num_sorted": 5, "num_bits": 3}
    task = configs.from_dict(config)["task"]
    assert (task["min_vectors"], task["max_vectors"], task["num_sorted"]) == (12, 12, 5)


@pytest.mark.parametrize("task", ["copy", "ngrams", "priority_sort"])
@pytest.mark.parametrize("model", ["ntm", "lstm_skip", "transformer"])
def test_current_configs_do_not_change(task, model):
    config = configs.default(task, model).to_dict()
    assert legacy.convert_config(config) == config


def test_old_metrics_convert_to_current_names():
    lost = {"kind": "lost", "step": 4, "seeds": [2]}
    assert legacy.convert_metrics(lost) == {"kind": "failed", "step": 4, "seeds": [2]}
    training = {"kind": "training", "step": 2, "grown": 0.5, "skipped": {"members": [0, 1]}}
    assert legacy.convert_metrics(training) == {
        "kind": "training",
        "step": 2,
        "curriculum_progress": 0.5,
        "skipped_steps": {"members": [0, 1]},
    }


def test_old_summaries_convert_to_current_names():
    old = {"stopped": "num_steps", "members": [{"held": True, "skipped_updates": 3}]}
    assert legacy.convert_metrics(old) == {
        "stop_reason": "num_train_steps",
        "members": [{"stayed_solved": True, "skipped_steps": 3}],
    }
