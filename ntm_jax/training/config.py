"""Configs: defaults, validation, and the sizes that an evaluation covers.

A file under `configs/` calls `default` and overrides keys; flags override those. Model and task
keys take their defaults from the Flax modules and task dataclasses, which also check the ranges.
docs/training.md gives the reasons for the training defaults.

Functions that take a config accept a `ConfigDict` or nested dicts.
"""

import dataclasses
import difflib
import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ntm_jax.baselines import BASELINES
from ntm_jax.cell import NTMCell
from ntm_jax.models import NTM
from ntm_jax.tasks import Task, find_task
from ntm_jax.tasks.base import Size
from ntm_jax.training import legacy
from ntm_jax.training.validation import expected_value

if TYPE_CHECKING:  # the package is an extra: models and model cards load without it
    from ml_collections import ConfigDict

__all__ = [
    "NTM_KEYS",
    "TRAINING_KEYS",
    "ConfigError",
    "choose",
    "default",
    "eval_key",
    "eval_sizes",
    "flatten",
    "from_dict",
    "member_seeds",
    "plural",
    "truncate_repr",
    "unknown_key_message",
    "validate",
    "with_floats",
]

_T = TypeVar("_T")


class ConfigError(ValueError):
    """An invalid config; the message names the key, the expected value and the given one."""


# Default and meaning of each training key.
TRAINING_KEYS: dict[str, tuple[Any, str]] = {
    "seed": (0, "seed of the parameters and samples of the first member"),
    "num_seeds": (1, "ensemble members, with consecutive seeds from `seed`"),
    "init_from": ("", "run directory, FILE.npz or pretrained:NAME with the first parameters"),
    "num_train_steps": (20_000, "training steps, at most"),
    "batch_size": (4, "sequences per training step"),
    "optimizer": ("adam", "the optimizer"),
    "learning_rate": (2e-3, "learning rate of the first step"),
    "learning_rate_half_life": (4000, "steps that halve it; 0 keeps it constant"),
    "adam_b2": (0.9, "decay of Adam's second moment"),
    "adam_eps": (1e-8, "Adam's epsilon"),
    "ema_decay": (0.998, "average of the parameters that are evaluated and stored; 0: none"),
    "max_grad_norm": (1.0, "clipping of the global norm of the gradient; 0: none"),
    "max_grad_value": (0.0, "clipping of each component of the gradient; 0: none"),
    "max_consecutive_nonfinite": (20, "skipped steps in a row before a seed fails"),
    "log_every_steps": (100, "steps per line of metrics.jsonl"),
    "eval_every_steps": (500, "steps per evaluation, a multiple of `log_every_steps`"),
    "checkpoint_every_steps": (1000, "steps per checkpoint, a multiple of `log_every_steps`"),
    "num_eval_sequences": (256, "sequences per evaluated size"),
    "solved_patience": (5, "solved evaluations in a row after which a seed counts as solved"),
    "train_steps_after_solved": (0, "further steps of a solved seed"),
    "curriculum": ("uniform", "order of the training sizes"),
    "curriculum_steps": (2000, "steps with a small loss until `growing` covers all sizes"),
    "curriculum_loss_threshold": (0.05, "a loss below this is small; bits per scored bit"),
    "restart_after_steps": (0, "re-initializes a seed that is still at chance; 0: never"),
}
_TRAINING = {key: default for key, (default, _) in TRAINING_KEYS.items()}

_PLAIN = (bool, int, float, str, tuple)


def _plain_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the parameters of a module or function whose defaults can stand in a config."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if isinstance(parameter.default, _PLAIN) and name not in ("features", "name")
    }


# Fields of NTM that a config sets by other keys or not at all.
_NOT_IN_CONFIG = {
    *("learn_carry", "learned_init", "unroll", "variable_broadcast"),
    *legacy.REMOVED_MODEL_KEYS,
}

# Default and meaning of the keys of an NTM that are no fields of `NTMCell` or `NTM`, or differ.
NTM_KEYS: dict[str, tuple[Any, str]] = {
    "controller": ("feed_forward", "kind of the controller"),
    "hidden_sizes": ((100,), "hidden sizes of the layers of the controller"),
    "activation": ("tanh", "activation function of a feed-forward controller"),
    "forget_bias": (-1.0, "initial bias of the forget gates of an LSTM controller"),
    "train_num_slots": ((22, 64), "slots that training alternates between; (): `num_slots`"),
    "memory_init": ("first_slot_marker", "initial memory"),
    "memory_init_scale": (0.1, "marker, constant, or standard deviation"),
    "head_init": ("one_hot", "initial weightings"),
    "controller_init": ("zero", "initial state of the controller"),
    "dtype": ("float32", "dtype of the dense layers"),
    "remat": (True, "whether the gradient recomputes the steps, which saves memory"),
}

_MODELS: dict[str, dict[str, Any]] = {
    "ntm": {
        **_plain_defaults(NTMCell),
        **{k: v for k, v in _plain_defaults(NTM).items() if k not in _NOT_IN_CONFIG},
        **{key: default for key, (default, _) in NTM_KEYS.items()},
    },
    **{name: _plain_defaults(builder) for name, builder in BASELINES.items()},
}


def _task_defaults(name: str) -> dict[str, Any]:
    fields = dataclasses.fields(_task_class(name))  # type: ignore[arg-type]
    return {field.name: field.default for field in fields}


def _task_class(name: Any) -> type[Task]:
    if not isinstance(name, str):
        raise ConfigError(f"task.name: expected a string, got {truncate_repr(name)}")
    try:
        return find_task(name)
    except ValueError as error:
        raise ConfigError(f"task.name: {error}") from None


def _default_dict(task: str, model: str) -> dict[str, Any]:
    task_class = _task_class(task)
    model_keys = choose("model.name", _MODELS, model)
    eval_keys = {eval_key(axis): sizes for axis, sizes in task_class.size_axes.items()}
    task_section = {"name": task, **_task_defaults(task)}
    sections = {"task": task_section, "model": {"name": model, **model_keys}}
    return {**_TRAINING, **eval_keys, **sections}


def default(task: str = "copy", model: str = "ntm") -> "ConfigDict":
    """Returns the default config of a task and a model.

    Args:
      task: a key of `tasks.TASKS`, or MODULE:CLASS for a task that Python can import.
      model: "ntm", or a baseline: "lstm_skip" (table 3 of the paper), "gru", "transformer",
        "keras_lstm" or "per_step_dense" (both of flomlo/ntm_keras).

    Raises:
      ConfigError: unknown task or model.
    """
    from ml_collections import ConfigDict

    return ConfigDict(_default_dict(task, model))


def choose(key: str, choices: Mapping[str, _T], value: Any) -> _T:
    """Returns the choice that a config value names.

    Raises:
      ConfigError: `value` is not among the choices.
    """
    if isinstance(value, str) and value in choices:
        return choices[value]
    if isinstance(value, str) and (new := legacy.RENAMED_VALUES.get(key, {}).get(value)):
        raise ConfigError(f"{key}: {value!r} was renamed to {new!r}")
    raise ConfigError(f"{key}: expected one of {tuple(choices)}, got {truncate_repr(value)}")


def validate(config: Any) -> None:
    """Checks the keys, types and training values of a config.

    The modules that `Experiment.from_config` builds check the model and task values.

    Raises:
      ConfigError: an unknown, renamed or missing key, or a value of another type or out of range;
        one line for the first one found.
    """
    for section in ("task", "model"):
        if not hasattr(config.get(section), "items") or "name" not in config[section]:
            raise ConfigError(f"{section}.name: expected the name of a {section}, got none")
    defaults = flatten(_default_dict(config["task"]["name"], config["model"]["name"]))
    given = flatten(config)
    for key in sorted(given.keys() - defaults.keys()):
        raise ConfigError(unknown_key_message(key, defaults))
    for key in sorted(defaults.keys() - given.keys()):
        raise ConfigError(f"{key}: expected a value such as {defaults[key]!r}, got none")
    for key, value in given.items():
        if expected := expected_value(key, value, defaults[key]):
            raise ConfigError(f"{key}: expected {expected}, got {truncate_repr(value)}")
    for key in ("eval_every_steps", "checkpoint_every_steps"):
        if given[key] % given["log_every_steps"]:
            raise ConfigError(
                f"{key}: expected a multiple of log_every_steps ({given['log_every_steps']}), "
                f"got {given[key]}"
            )
    if given["seed"] + given["num_seeds"] > 2**32:
        raise ConfigError(
            f"num_seeds: expected seeds up to {2**32 - 1}, got {given['num_seeds']} from "
            f"{given['seed']}"
        )


def with_floats(config: Any) -> dict[str, Any]:
    """Returns a valid config as nested dicts, with integers converted where it expects floats.

    JAX refuses Python integers that do not fit into 32 bits, also where a float is meant.
    """

    def convert(values: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: convert(value, defaults[key])
            if hasattr(value, "items")
            else (float(value) if isinstance(defaults[key], float) else value)
            for key, value in values.items()
        }

    return convert(config, _default_dict(config["task"]["name"], config["model"]["name"]))


def eval_sizes(config: Any) -> list[Size]:
    """Returns all sizes that an evaluation covers, once: the product of the numbers of all axes."""
    axes = _task_class(config["task"]["name"]).size_axes
    return [*dict.fromkeys(itertools.product(*(config[eval_key(axis)] for axis in axes)))]


def member_seeds(config: Any) -> range:
    """Returns the seeds of the ensemble members, in order."""
    return range(config["seed"], config["seed"] + config["num_seeds"])


def plural(axis: str) -> str:
    """Returns the plural of a size axis, such as "lengths" or "repeats"."""
    return f"{axis.removesuffix('s')}s"


def eval_key(axis: str) -> str:
    """Returns the config key of the sizes that are evaluated, such as "eval_lengths"."""
    return f"eval_{plural(axis)}"


def flatten(config: Any) -> dict[str, Any]:
    """Returns every value by its full key, such as "model.num_slots"."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat.update({f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()})
        else:
            flat[key] = value
    return flat


def from_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a stored config under current names, with tuples where JSON has lists.

    Task and model keys that are newer than the stored config get their defaults.
    """

    def with_tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_tuples(inner) for key, inner in value.items()}
        return tuple(with_tuples(inner) for inner in value) if isinstance(value, list) else value

    config = with_tuples(legacy.convert_config(values))
    for section, defaults in (("task", _task_defaults), ("model", _MODELS.get)):
        keys = config.get(section)
        if isinstance(keys, dict) and isinstance(keys.get("name"), str):
            config[section] = (defaults(keys["name"]) or {}) | keys
    return config


def unknown_key_message(key: str, known: Any) -> str:
    """Returns the error message for a key that is not among the keys of `known`."""
    if key in legacy.RENAMED_KEYS:
        return f"{key}: renamed to {legacy.RENAMED_KEYS[key]}"
    keys = sorted(flatten(known))
    in_section = [name for name in keys if name.endswith(f".{key}")]
    close = in_section or difflib.get_close_matches(key, keys, n=1)
    hint = f"did you mean {close[0]}?" if close else f"valid keys: {', '.join(keys)}"
    return f"{truncate_repr(key)[1:-1]}: unknown key; {hint}"


def truncate_repr(value: Any) -> str:
    """Returns the repr of a value on one line of at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # CPython refuses to convert integers with thousands of digits
        return "an integer with thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
