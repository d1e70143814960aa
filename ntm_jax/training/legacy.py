"""Reads configs, metrics and summaries that were written under older names."""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "REMOVED_MODEL_KEYS",
    "RENAMED_KEYS",
    "RENAMED_METRICS",
    "RENAMED_VALUES",
    "convert_config",
    "convert_metrics",
]

# Old config key -> new config key, as typed on the command line.
RENAMED_KEYS = {
    "num_steps": "num_train_steps",
    "log_every": "log_every_steps",
    "eval_every": "eval_every_steps",
    "checkpoint_every": "checkpoint_every_steps",
    "eval_sequences": "num_eval_sequences",
    "clip_norm": "max_grad_norm",
    "clip_value": "max_grad_value",
    "max_skipped": "max_consecutive_nonfinite",
    "solved_in_a_row": "solved_patience",
    "updates_after_solved": "train_steps_after_solved",
    "restart_after": "restart_after_steps",
    "curriculum_updates": "curriculum_steps",
    "curriculum_error": "curriculum_loss_threshold",
    "task.blank_rate": "task.zero_vector_prob",
    "task.num_vectors": "task.max_vectors",
    "model.memory_start": "model.memory_init",
    "model.memory_scale": "model.memory_init_scale",
    "model.weights_start": "model.head_init",
    "model.controller_start": "model.controller_init",
    "model.train_slots": "model.train_num_slots",
    "model.content_reads": "model.num_content_read_heads",
    "model.head_noise": "model.addressing_noise_std",
    "model.segment": "model.remat_chunk_size",
    "model.width": "model.d_model",
}

# Old value -> new value, by new config key.
RENAMED_VALUES = {
    "optimizer": {"graves_rmsprop": "rmsprop_graves2013"},
    "curriculum": {"none": "max_size"},
    "model.memory_init": {"marked": "first_slot_marker"},
    "model.name": {"skip_lstm": "lstm_skip", "dense": "per_step_dense"},
}

# Keys of the model that no config can change, with the only value that they had.
REMOVED_MODEL_KEYS = {"implementation": "xla", "time_major": False, "variable_carry": False}

# Values of keys that older configs lack; they reproduce what the program did then.
_MISSING = dict(
    adam_eps=1e-8,
    max_grad_value=0.0,
    curriculum="uniform",
    curriculum_steps=5000,
    curriculum_loss_threshold=0.05,
    ema_decay=0.0,
    restart_after_steps=0,
    init_from="",
)
_MISSING_COPY = dict(zero_vector_prob=0.0)
_MISSING_NTM = dict(
    train_num_slots=(), remat_chunk_size=0, addressing_noise_std=0.0, num_content_read_heads=0
)


def convert_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts the stored values of a config to the current names; current configs are unchanged.

    Args:
      values: the config as nested dicts.

    Returns:
      The config with current keys and values, and with keys that older configs lack.
    """
    converted = _rename("", values)
    task, model = converted.get("task"), converted.get("model")
    if isinstance(task, dict) and task.get("name") == "copy":
        converted["task"] = _MISSING_COPY | task
    elif isinstance(task, dict) and task.get("name") == "priority_sort" and "max_vectors" in task:
        converted["task"] = {"min_vectors": task["max_vectors"]} | task
    if isinstance(model, dict) and model.get("name") == "ntm":
        kept = {k: v for k, v in model.items() if (k, v) not in REMOVED_MODEL_KEYS.items()}
        converted["model"] = _MISSING_NTM | kept
    return _MISSING | converted


def _rename(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {}
    for key, value in values.items():
        name = RENAMED_KEYS.get(prefix + key, prefix + key)
        if isinstance(value, Mapping):
            value = _rename(f"{name}.", value)
        elif isinstance(value, str):
            value = RENAMED_VALUES.get(name, {}).get(value, value)
        renamed[name.removeprefix(prefix)] = value
    return renamed


# Old key -> new key in metrics.jsonl, summary.json and model cards.
RENAMED_METRICS = {
    "grown": "curriculum_progress",
    "skipped": "skipped_steps",
    "skipped_updates": "skipped_steps",
    "stopped": "stop_reason",
    "held": "stayed_solved",
}
_RENAMED_METRIC_VALUES = {
    "kind": {"lost": "failed"},
    "stop_reason": {"num_steps": "num_train_steps"},
}


def convert_metrics(values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a line of metrics.jsonl, or a summary, to the current names."""
    converted = {}
    for key, value in values.items():
        name = RENAMED_METRICS.get(key, key)
        if name == "members" and isinstance(value, list):
            value = [convert_metrics(v) if isinstance(v, Mapping) else v for v in value]
        elif isinstance(value, str):
            value = _RENAMED_METRIC_VALUES.get(name, {}).get(value, value)
        converted[name] = value
    return converted
