"""The tables of docs/settings.md: every key of a config, with its default, range and meaning."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from experiments import markdown
from ntm_jax.baselines import BASELINES
from ntm_jax.cell import NTMCell
from ntm_jax.models import NTM
from ntm_jax.rnn import RNN
from ntm_jax.tasks import TASKS
from ntm_jax.training.config import NTM_KEYS, TRAINING_KEYS, ConfigError, default, eval_key
from ntm_jax.training.experiment import Experiment

__all__ = ["models", "tasks", "training"]

_HEADER = "key | default | range | meaning"
# Values that most keys refuse: the error message has the range.
_WRONG = {
    int: (-1, 10**12),
    float: (float("nan"), -1e20, 1e20, 1e31),
    str: ("?",),
    tuple: ((), (0,), (-1,)),
    bool: (),
}
# Parts of messages that apply to most keys; docs/settings.md states them once.
_COMMON = (
    "a finite number",
    "a number from -1e+30 to 1e+30",
    "at most 1000000000",
    "at least one integer",
    "integers from 1 to 1000000000",
)
_TYPES = {bool: "true, false", int: "any", float: "any", str: "any", tuple: "any"}


def training() -> str:
    """Returns the table of the training keys."""
    config = default().to_dict()
    rows = [
        [f"`{key}`", _value(value), _range(config, key, value), meaning]
        for key, (value, meaning) in TRAINING_KEYS.items()
    ]
    for name, task in TASKS.items():
        for axis, sizes in task.size_axes.items():
            key, config = eval_key(axis), default(name).to_dict()
            meaning = f"{name}: values of {axis} that an evaluation covers"
            rows.append([f"`{key}`", _value(sizes), _range(config, key, sizes), meaning])
    return markdown.table(_HEADER, rows)


def tasks() -> str:
    """Returns the table of the task keys."""
    rows = []
    for name, task in TASKS.items():
        meanings, config = _attributes(task), default(name).to_dict()
        for field in dataclasses.fields(task):  # type: ignore[arg-type]
            key = f"task.{field.name}"
            value = field.default
            cells = [_value(value), _range(config, key, value), meanings[field.name]]
            rows.append([name, f"`{key}`", *cells])
    return markdown.table(f"task | {_HEADER}", rows)


def models() -> str:
    """Returns the table of the model keys."""
    rows = []
    builders: Mapping[str, Callable[..., Any]] = {"ntm": NTMCell, **BASELINES}
    for name, builder in builders.items():
        meanings = _attributes(builder)
        if name == "ntm":
            meanings |= _attributes(RNN) | _attributes(NTM)
            meanings |= {key: meaning for key, (_, meaning) in NTM_KEYS.items()}
        config = default("copy", name).to_dict()
        for key, value in config["model"].items():
            if key != "name":
                cells = [_value(value), _range(config, f"model.{key}", value), meanings[key]]
                rows.append([name, f"`model.{key}`", *cells])
    return markdown.table(f"model | {_HEADER}", rows)


def _attributes(builder: Callable[..., Any]) -> dict[str, str]:
    """Returns the entries of the section Attributes or Args of a docstring."""
    text = inspect.getdoc(builder) or ""
    section = re.search(r"^(?:Attributes|Args):\n((?:  .*\n?|\n(?=  ))+)", text, re.MULTILINE)
    entries = re.findall(
        r"^  (\w+): (.*(?:\n    .*)*)", section[1] if section else "", re.MULTILINE
    )
    return {name: " ".join(meaning.split()).removesuffix(".") for name, meaning in entries}


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value) or "none"


def _range(config: dict[str, Any], key: str, value: Any) -> str:
    """Returns what the error messages for wrong values expect, or else the type."""
    section, _, name = key.rpartition(".")
    found: dict[str, None] = {}
    for wrong in _WRONG[type(value)]:
        keys = {**config[section], name: wrong} if section else wrong
        try:
            Experiment.from_config({**config, section or name: keys})
        except ConfigError as error:
            match = re.match(
                rf"[\w., ]*\b{re.escape(key)}\b[\w., ]*: expected (.*), got ", str(error)
            )
            if match and match[1] not in _COMMON:
                choices = re.sub(r"^one of \((.*)\)$", r"\1", match[1]).replace("'", "")
                found[choices] = None
    return "; ".join(found) or _TYPES[type(value)]
