"""A config: an `ml_collections.ConfigDict` made by `default` and checked by `validate`.

A file under `configs/` calls `default` and overrides; the command line overrides that. What the
names in a config stand for is in `build`.
"""

import difflib
import itertools
from typing import Any

from ml_collections import ConfigDict

from ntm_jax.training import rules
from ntm_jax.training.defaults import ConfigError, default, eval_name, plural, shown
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
    "shown",
    "unknown_setting",
    "validate",
]

# Settings that came later than runs and machines that are kept, with what those did.
_LATER = dict(
    adam_eps=1e-8,
    clip_value=0.0,
    curriculum="uniform",
    curriculum_updates=5000,
    curriculum_error=0.05,
    ema_decay=0.0,
    restart_after=0,
)
_LATER_NTM = dict(train_slots=(), segment=0, head_noise=0.0, content_reads=0)


def validate(config: ConfigDict) -> None:
    """Checks every field before anything is compiled.

    Raises:
      ConfigError: a name that does not exist, a name that is missing, a value of another type or
        out of its range; one line for the first that is found.
    """
    for section in ("task", "model"):
        inner = config.get(section)
        if not isinstance(inner, ConfigDict) or "name" not in inner:
            raise ConfigError(f"{section}.name: expected a {section}'s name, got none")
    known = default(config.task.name, config.model.name)
    expected, given = flat(known), flat(config)
    for name in sorted(given.keys() - expected.keys()):
        raise ConfigError(unknown_setting(name, known))
    for name in sorted(expected.keys() - given.keys()):
        raise ConfigError(f"{name}: expected a value such as {expected[name]!r}, got none")
    for name, value in given.items():
        wanted = rules.broken(name, value, expected[name])
        if wanted:
            raise ConfigError(f"{name}: expected {wanted}, got {shown(value)}")
    for name in ("eval_every", "checkpoint_every"):
        if given[name] % given["log_every"]:
            raise ConfigError(
                f"{name}: expected a multiple of log_every ({given['log_every']}), "
                f"got {given[name]}"
            )
    heads, by_content = (given.get(f"model.{of}", 0) for of in ("num_read_heads", "content_reads"))
    if by_content > heads:
        raise ConfigError(
            f"model.content_reads: expected at most num_read_heads ({heads}), got {by_content}"
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
    if isinstance(values.get("task"), dict) and values["task"].get("name") == "copy":
        values["task"] = {"blank_rate": 0.0} | values["task"]
    if isinstance(values.get("model"), dict) and values["model"].get("name") == "ntm":
        values["model"] = _LATER_NTM | values["model"]
        values["model"].pop("implementation", None)
    return ConfigDict(_LATER | values)


def unknown_setting(name: str, config: ConfigDict) -> str:
    """What to say of a name that the config does not have: the nearest, and all there are."""
    names = sorted(flat(config))
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{name}: no such setting; {meant}There are: {', '.join(names)}"
