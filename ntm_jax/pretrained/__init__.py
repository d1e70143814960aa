"""Trained machines that ship with the package: of each, arrays in an npz file, and a card.

A card is JSON: the config that was trained, the command, the versions, and what was measured. Both
are data alone; loading them runs nothing.
"""

import json
import zipfile
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from ntm_jax.training import experiment
from ntm_jax.training import config as configs

__all__ = ["Pretrained", "load_pretrained", "names", "read", "write"]

# What is raised on the way from the bytes of a file to a machine, if they are not those of one.
_DAMAGES = (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)


class Pretrained(NamedTuple):
    """A machine as it is shipped.

    Attributes:
      config: that it was trained with.
      params: its parameters.
      card: all that is known of it, "config" included.
      path: of its arrays.
    """

    config: ConfigDict
    params: Any
    card: dict[str, Any]
    path: Traversable


def load_pretrained(name: str, num_slots: int | None = None) -> tuple[nn.Module, Any]:
    """A trained machine that ships with the package, ready to run.

    Args:
      name: one of `names()`.
      num_slots: another size of the memory than it was trained with.

    Returns:
      The model, inputs [B, T, I] -> logits [B, T, O], and its parameters.

    Raises:
      ConfigError: no such machine.
    """
    machine = read(name)
    return experiment.make_model(machine.config, num_slots), machine.params


def names() -> list[str]:
    """The machines that ship."""
    files = (path.name for path in _folder().iterdir())
    return sorted(name.removesuffix(".npz") for name in files if name.endswith(".npz"))


def read(name: str) -> Pretrained:
    """A machine with its card.

    Raises:
      ConfigError: no such machine, or one whose files are damaged or of another version.
    """
    if name not in names():
        raise configs.ConfigError(f"pretrained: expected one of {tuple(names())}, got {name!r}")
    path = _folder() / f"{name}.json"
    try:
        card = json.loads(path.read_text())
        config = configs.from_dict(card["config"])
        configs.validate(config)
        path = _folder() / f"{name}.npz"
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            params = traverse_util.unflatten_dict(dict(arrays), sep="/")
    except _DAMAGES as error:
        raise configs.ConfigError(
            f"{path}: expected a machine as it ships, got a file that is not: "
            f"{configs.shown(error)}; install ntm_jax again"
        ) from None
    return Pretrained(config, params, card, path)


def write(name: str, params: Any, card: dict[str, Any]) -> None:
    """Ships a machine, in the place of another of its name."""
    flat = traverse_util.flatten_dict(jax.device_get(params), sep="/")
    with resources.as_file(_folder()) as folder:
        np.savez(folder / f"{name}.npz", **flat)
        (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


def _folder() -> Traversable:
    return resources.files("ntm_jax") / "pretrained"
