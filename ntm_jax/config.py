"""A config: an `ml_collections.ConfigDict` made by `default` and checked by `validate`.

A file under `configs/` calls `default` and overrides; the command line overrides that. What the
names in a config stand for is in `build`.
"""

import dataclasses
import difflib
import itertools
import math
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size

__all__ = [
    "ConfigError",
    "default",
    "eval_name",
    "eval_sizes",
    "flat",
    "from_dict",
    "plural",
    "seeds",
    "unknown_setting",
    "validate",
]


class ConfigError(ValueError):
    """A config that cannot be run; the message names the field, what was expected and what came."""


def plural(axis: str) -> str:
    """The flag with several numbers of a task's axis, such as "lengths" or "repeats"."""
    return f"{axis.removesuffix('s')}s"


def eval_name(axis: str) -> str:
    """The setting with the numbers of a task's axis that are evaluated, such as "eval_lengths"."""
    return f"eval_{plural(axis)}"


_TASKS = {
    name: {field.name: field.default for field in dataclasses.fields(task)}
    for name, task in TASKS.items()
}

_MODELS = {
    "ntm": dict(
        controller="feed_forward",
        hidden_sizes=(100,),
        activation="tanh",
        forget_bias=-1.0,
        num_slots=128,
        # Memories to train with, by turns, an update each; () trains with num_slots. No parameter
        # depends on the slots, and in a small memory more seeds learn, in half the time. The small
        # one has a slot for each vector of copy, the mark and the delimiter's step: with 24, some
        # read heads waited where the sequence ends if it fills the memory. With the small one
        # alone, some came to count on walking all the way round.
        train_slots=(22, 64),
        slot_width=20,
        num_read_heads=1,
        num_write_heads=1,
        max_shift=1,
        memory_start="marked",
        memory_scale=0.1,  # of the mark, of the constant, or the deviation of random numbers
        weights_start="one_hot",
        controller_start="zero",
        strength_bias=0.0,
        gate_bias=-3.0,
        sharpness_bias=1.0,
        shift_bias=2.0,
        output_from_reads=True,
        dtype="float32",
        remat=True,
        segment=0,  # steps; about the root of a long sequence trains it in little memory
        implementation="xla",  # of a sequence; "fused" and "auto": one kernel on a GPU (models.NTM)
    ),
    "skip_lstm": dict(hidden_size=256, num_layers=3),
    "gru": dict(hidden_size=256, num_layers=3),
    "transformer": dict(width=160, num_layers=4, num_heads=8),
    "keras_lstm": dict(hidden_sizes=(256, 256)),
    "dense": {},
}

# Settings that came later than runs and machines that are kept, with what those did.
_LATER = dict(clip_value=0.0, ema_decay=0.0, restart_after=0)
_LATER_NTM = dict(train_slots=(), segment=0, implementation="xla")

_ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
_CONTROLLERS = ("feed_forward", "lstm", "gru")
_IMPLEMENTATIONS = ("xla", "fused", "auto")
_OPTIMIZERS = ("adam", "graves_rmsprop")


def default(task: str = "copy", model: str = "ntm") -> ConfigDict:
    """The settings of a task and a model, to be overridden.

    Args:
      task: one of `tasks.TASKS`.
      model: "ntm"; or a baseline: "skip_lstm" (table 3), "gru", "transformer", "keras_lstm",
        "dense" (ntm_keras).

    Returns:
      A config that trains as it stands.

    Raises:
      ConfigError: no such task or model.
    """
    settings = _pick("task.name", _TASKS, task)
    return ConfigDict(
        dict(
            seed=0,
            num_seeds=1,  # members trained at once, with the seeds from `seed` on
            num_steps=20_000,  # updates at the most
            batch_size=4,
            optimizer="adam",
            learning_rate=2e-3,
            learning_rate_half_life=4000,  # updates; 0 keeps the rate
            # Not the usual 0.999. Of a learned task the gradients are next to nothing, until one
            # sequence in thousands fails or a gradient explodes; such a lone one moves every
            # parameter by 32 learning rates in all, by 10 with 0.99 and by 6 with 0.9. Of ten
            # machines with an LSTM controller, 0.99 lost two.
            adam_b2=0.9,
            # Of the average of the parameters that is evaluated and kept, such as 0.998 for one of
            # the last 500 updates or so; 0 keeps the latest.
            ema_decay=0.0,
            clip_norm=1.0,  # the largest global norm of the gradient; 0 does not clip it
            clip_value=0.0,  # the largest size of each of its numbers; 0 does not clip them
            max_skipped=20,  # updates in a row skipped for a value that is not finite
            log_every=100,
            eval_every=500,
            checkpoint_every=1000,
            # Of each axis of the task, such as eval_lengths; together, all sizes they make.
            **{eval_name(axis): numbers for axis, numbers in TASKS[task].axes.items()},
            eval_sequences=256,  # of each size
            solved_in_a_row=5,  # evaluations after which a machine counts as solved
            updates_after_solved=0,  # then it trains for so many more, and stops
            # Updates after which a machine that never was right at the trained sizes begins anew,
            # from other parameters; 0 leaves it as it is.
            restart_after=0,
            task=dict(name=task, **settings),
            model=dict(name=model, **_pick("model.name", _MODELS, model)),
        )
    )


# What a value must be, beyond having the type of the default.
_POSITIVE = ("greater than 0", lambda value: value > 0)
_COUNT = ("at least 0", lambda value: value >= 0)
_DECAY = ("at least 0 and less than 1", lambda value: 0 <= value < 1)
_SIZES = (
    "whole numbers greater than 0",
    lambda value: all(isinstance(n, int) and n > 0 for n in value),
)
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("from 0 to 4294967295", lambda value: 0 <= value < 2**32),
    "num_seeds": _POSITIVE,
    "num_steps": _POSITIVE,
    "batch_size": _POSITIVE,
    "optimizer": (f"one of {_OPTIMIZERS}", lambda value: value in _OPTIMIZERS),
    "learning_rate": _POSITIVE,
    "learning_rate_half_life": _COUNT,
    "adam_b2": _DECAY,
    "ema_decay": _DECAY,
    "clip_norm": _COUNT,
    "clip_value": _COUNT,
    "max_skipped": _POSITIVE,
    "log_every": _POSITIVE,
    "eval_every": _POSITIVE,
    "checkpoint_every": _POSITIVE,
    **{
        eval_name(axis): (
            "one or more whole numbers greater than 0",
            lambda value: len(value) > 0 and _SIZES[1](value),
        )
        for task in TASKS.values()
        for axis in task.axes
    },
    "eval_sequences": _POSITIVE,
    "solved_in_a_row": _POSITIVE,
    "updates_after_solved": _COUNT,
    "restart_after": _COUNT,
    "model.controller": (f"one of {_CONTROLLERS}", lambda value: value in _CONTROLLERS),
    "model.hidden_sizes": _SIZES,
    "model.hidden_size": _POSITIVE,
    "model.num_layers": _POSITIVE,
    "model.width": _POSITIVE,
    "model.num_heads": _POSITIVE,
    "model.activation": (f"one of {_ACTIVATIONS}", lambda value: value in _ACTIVATIONS),
    "model.num_slots": _POSITIVE,
    "model.train_slots": _SIZES,
    "model.slot_width": _POSITIVE,
    "model.num_read_heads": _POSITIVE,
    "model.num_write_heads": _POSITIVE,
    "model.max_shift": _COUNT,
    "model.segment": _COUNT,
    "model.memory_start": (
        "one of ('marked', 'constant', 'random', 'learned')",
        lambda value: value in ("marked", "constant", "random", "learned"),
    ),
    "model.weights_start": (
        "one of ('one_hot', 'uniform', 'learned')",
        lambda value: value in ("one_hot", "uniform", "learned"),
    ),
    "model.controller_start": (
        "one of ('zero', 'learned')",
        lambda value: value in ("zero", "learned"),
    ),
    "model.dtype": (
        "one of ('float32', 'bfloat16')",
        lambda value: value in ("float32", "bfloat16"),
    ),
    "model.implementation": (
        f"one of {_IMPLEMENTATIONS}",
        lambda value: value in _IMPLEMENTATIONS,
    ),
}


def validate(config: ConfigDict) -> None:
    """Checks every field before anything is compiled.

    Raises:
      ConfigError: a name that does not exist, a name that is missing, a value of another type or
        out of its range; one line for the first that is found.
    """
    for section in ("task", "model"):
        if "name" not in config.get(section, {}):
            raise ConfigError(f"{section}.name: expected a {section}'s name, got none")
    known = default(config.task.name, config.model.name)
    expected, given = flat(known), flat(config)
    for name in given.keys() - expected.keys():
        raise ConfigError(unknown_setting(name, known))
    for name in expected.keys() - given.keys():
        raise ConfigError(f"{name}: expected a value such as {expected[name]!r}, got none")
    for name, value in given.items():
        kind = type(expected[name])
        fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not fits or (kind is not bool and isinstance(value, bool)):
            raise ConfigError(f"{name}: expected a {kind.__name__}, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name}: expected a finite number, got {value!r}")
        wanted, holds = _RULES.get(name, ("", lambda _: True))
        if not holds(value):
            raise ConfigError(f"{name}: expected {wanted}, got {value!r}")
    for name in ("eval_every", "checkpoint_every"):
        if given[name] % given["log_every"]:
            raise ConfigError(
                f"{name}: expected a multiple of log_every ({given['log_every']}), "
                f"got {given[name]}"
            )
    if config.seed + config.num_seeds > 2**32:
        raise ConfigError(
            f"num_seeds: expected seeds up to 4294967295, got {config.num_seeds} from {config.seed}"
        )


def eval_sizes(config: ConfigDict) -> list[Size]:
    """The sizes that an evaluation has: every number of one axis with every one of the others."""
    axes = TASKS[config.task.name].axes
    return list(itertools.product(*(config[eval_name(axis)] for axis in axes)))


def seeds(config: ConfigDict) -> range:
    """The seeds of the members of an ensemble, in their order."""
    return range(config.seed, config.seed + config.num_seeds)


def flat(config: ConfigDict) -> dict[str, Any]:
    """Every setting by its name on the command line, such as "model.num_slots"."""
    settings: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            settings.update({f"{name}.{inner}": leaf for inner, leaf in flat(value).items()})
        else:
            settings[name] = value
    return settings


def from_dict(values: dict[str, Any]) -> ConfigDict:
    """The config that `to_dict` and JSON made into these values: JSON has no tuples.

    A setting that came later than the values gets that by which they were trained.
    """

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: tuples(inner) for name, inner in value.items()}
        return tuple(tuples(inner) for inner in value) if isinstance(value, list) else value

    values = tuples(values)
    if isinstance(values.get("model"), dict) and values["model"].get("name") == "ntm":
        values["model"] = _LATER_NTM | values["model"]
    return ConfigDict(_LATER | values)


def unknown_setting(name: str, config: ConfigDict) -> str:
    """What to say of a name that the config does not have: the nearest, and all there are."""
    names = sorted(flat(config))
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{name}: no such setting; {meant}There are: {', '.join(names)}"


def _pick(field: str, choices: dict[str, Any], name: Any) -> Any:
    if name not in choices:
        raise ConfigError(f"{field}: expected one of {tuple(choices)}, got {name!r}")
    return choices[name]
