"""What the values of a config must be, one by one, beyond having the type of the default.

What several of them must be together, such as a memory with room for a task, is in `build`.
"""

import math
from collections.abc import Callable
from typing import Any

from ntm_jax.training.defaults import CURRICULA, eval_name
from ntm_jax.tasks import TASKS

__all__ = ["broken", "most"]

Rule = tuple[str, Callable[[Any], bool]]

# Beyond these, numbers overflow in float32, and sizes in the memory of any machine.
_LARGEST, _MOST = 1e30, 10**9
_MOST_IN_A_TUPLE = 64

# Parts of a program: with more of them it would be compiled for hours.
_FEW = {
    "model.num_layers": 64,
    "model.num_read_heads": 64,
    "model.num_write_heads": 64,
    "model.max_shift": 64,
}
# Of which Python holds something for each one.
_SOME = {"num_seeds": 10_000, "eval_sequences": 1_000_000, "model.slot_width": 65_536}


def _one_of(*choices: str) -> Rule:
    return f"one of {choices}", lambda value: value in choices


def _whole(values: tuple) -> bool:
    return all(type(value) is int and 0 < value <= _MOST for value in values)


_POSITIVE: Rule = "greater than 0", lambda value: value > 0
_COUNT: Rule = "at least 0", lambda value: value >= 0
_SIZES: Rule = f"whole numbers greater than 0, of at most {_MOST}", _whole
# Weights of an average; in float32 what is nearer to 1 is 1, and divides by zero.
_DECAY: Rule = "at least 0 and less than 1", lambda value: 0 <= value <= 0.999999
_RULES: dict[str, Rule] = {
    "seed": ("from 0 to 4294967295", lambda value: 0 <= value < 2**32),
    "num_seeds": _POSITIVE,
    "num_steps": _POSITIVE,
    "batch_size": _POSITIVE,
    "optimizer": _one_of("adam", "graves_rmsprop"),
    "learning_rate": _POSITIVE,
    "learning_rate_half_life": _COUNT,
    "adam_b2": _DECAY,
    "adam_eps": _POSITIVE,
    "ema_decay": _DECAY,
    "clip_norm": _COUNT,
    "clip_value": _COUNT,
    "max_skipped": _POSITIVE,
    "log_every": _POSITIVE,
    "eval_every": _POSITIVE,
    "checkpoint_every": _POSITIVE,
    **{
        eval_name(axis): (
            f"one or more whole numbers greater than 0, of at most {_MOST}",
            lambda value: len(value) > 0 and _whole(value),
        )
        for task in TASKS.values()
        for axis in task.axes
    },
    "eval_sequences": _POSITIVE,
    "solved_in_a_row": _POSITIVE,
    "updates_after_solved": _COUNT,
    "restart_after": _COUNT,
    "curriculum": _one_of(*CURRICULA),
    "curriculum_updates": _POSITIVE,
    "curriculum_error": _POSITIVE,
    "model.controller": _one_of("feed_forward", "lstm", "gru"),
    "model.hidden_sizes": _SIZES,
    "model.hidden_size": _POSITIVE,
    "model.num_layers": _POSITIVE,
    "model.width": _POSITIVE,
    "model.num_heads": _POSITIVE,
    "model.activation": _one_of("tanh", "relu", "sigmoid", "linear"),
    "model.num_slots": _POSITIVE,
    "model.train_slots": _SIZES,
    "model.slot_width": _POSITIVE,
    "model.num_read_heads": _POSITIVE,
    "model.num_write_heads": _POSITIVE,
    "model.max_shift": _COUNT,
    "model.content_reads": _COUNT,
    "model.head_noise": ("from 0 to 100", lambda value: 0 <= value <= 100),
    "model.segment": _COUNT,
    "model.memory_start": _one_of("marked", "constant", "random", "learned"),
    "model.weights_start": _one_of("one_hot", "uniform", "learned"),
    "model.controller_start": _one_of("zero", "learned"),
    "model.dtype": _one_of("float32", "bfloat16"),
}


def most(name: str) -> int:
    """The largest whole number that a setting may be, by its name, such as "model.num_slots"."""
    return (_FEW | _SOME).get(name, _MOST)


def broken(name: str, value: Any, default: Any) -> str | None:
    """What a setting is expected to be, if it is not that.

    Args:
      name: of the setting, such as "model.num_slots".
      value: that it was given.
      default: a value that it can have.

    Returns:
      Words that follow "expected"; None for a value that is as it should be.
    """
    kind = type(default)
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (kind is not bool and isinstance(value, bool)):
        return f"a {kind.__name__}"
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    wanted, holds = _RULES.get(name, ("", lambda _: True))
    if not holds(value):
        return wanted
    if kind is float and abs(value) > _LARGEST:
        return f"a number from {-_LARGEST:g} to {_LARGEST:g}"
    if kind is int and name != "seed" and value > most(name):
        return f"at most {most(name)}"
    if kind is tuple and len(value) > _MOST_IN_A_TUPLE:
        return f"at most {_MOST_IN_A_TUPLE} numbers"
    return None
