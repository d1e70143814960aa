"""Types and ranges of single config values; the modules check model and task values further."""

import math
from typing import Any

__all__ = ["expected_value", "max_value"]

_TYPES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple: "a tuple of integers",
}
# Smallest valid value of the training keys that are numbers.
_MINIMUM = {
    "seed": 0,
    "learning_rate_half_life": 0,
    "max_grad_norm": 0,
    "max_grad_value": 0,
    "train_steps_after_solved": 0,
    "restart_after_steps": 0,
    **dict.fromkeys(
        (
            "num_seeds",
            "num_train_steps",
            "batch_size",
            "max_consecutive_nonfinite",
            "log_every_steps",
            "eval_every_steps",
            "checkpoint_every_steps",
            "num_eval_sequences",
            "solved_patience",
            "curriculum_steps",
        ),
        1,
    ),
}
_POSITIVE = ("learning_rate", "adam_eps", "curriculum_loss_threshold")
_DECAYS = ("adam_b2", "ema_decay")
_MAX_DECAY = 0.999999  # float32 rounds larger values to 1, which divides by zero

# Larger values overflow float32, exceed the memory of any host, or take hours to compile.
_MAX_FLOAT, _MAX_INT, _MAX_ITEMS = 1e30, 10**9, 64
_MAX_VALUES = {
    "seed": 2**32 - 1,
    "num_seeds": 10_000,
    "num_eval_sequences": 1_000_000,
    "model.slot_width": 65_536,
    **dict.fromkeys(
        (f"model.{name}" for name in ("num_layers", "num_read_heads", "num_write_heads")), 64
    ),
    "model.max_shift": 64,
}


def max_value(key: str) -> int:
    """Returns the largest valid integer of a config key, such as "model.num_slots"."""
    return _MAX_VALUES.get(key, _MAX_INT)


def expected_value(key: str, value: Any, default: Any) -> str | None:
    """Returns what a key expects, if `value` does not have the type or is out of range.

    Args:
      key: the full key, such as "model.num_slots".
      value: the given value.
      default: the default value, which has the expected type.

    Returns:
      Words to follow "expected"; None for a valid value.
    """
    kind = type(default)
    if (isinstance(value, bool) and kind is not bool) or not (
        isinstance(value, kind) or (kind is float and isinstance(value, int))
    ):
        return _TYPES[kind]
    if isinstance(value, tuple):
        if key.startswith("eval_") and not value:
            return "at least one integer"
        if not all(type(item) is int and 0 < item <= _MAX_INT for item in value):
            return f"integers from 1 to {_MAX_INT}"
        return f"at most {_MAX_ITEMS} integers" if len(value) > _MAX_ITEMS else None
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if key in _DECAYS and not 0 <= value <= _MAX_DECAY:
        return "a number from 0 to less than 1"
    if key in _POSITIVE and value <= 0:
        return "a number greater than 0"
    if key in _MINIMUM and value < _MINIMUM[key]:
        return f"at least {_MINIMUM[key]}"
    if kind is float and abs(value) > _MAX_FLOAT:
        return f"a number from {-_MAX_FLOAT:g} to {_MAX_FLOAT:g}"
    if kind is int and value > max_value(key):
        return f"at most {max_value(key)}"
    return None
