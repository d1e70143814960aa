"""Pretrained models that come with the package: parameters as NAME.npz, a model card as NAME.json.

A card has the training config, the command, the summary of the run, and evaluation results. Loading
runs no code from the files.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.training.config import ConfigError, from_dict, truncate_repr, validate
from ntm_jax.training.experiment import Experiment

__all__ = [
    "list_pretrained",
    "load_card",
    "load_pretrained",
    "restore_pretrained",
    "save_pretrained",
]

_DIRECTORY = Path(__file__).parent
# Errors that reading a damaged file raises.
_LOAD_ERRORS = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def list_pretrained() -> list[str]:
    """Returns the names of all pretrained models."""
    return sorted(path.stem for path in _DIRECTORY.glob("*.npz"))


def load_pretrained(name: str, num_slots: int | None = None) -> tuple[nn.Module, Any]:
    """Loads a pretrained model.

    Args:
      name: an element of `list_pretrained()`.
      num_slots: memory slots, in place of the config's; the parameters do not depend on it.

    Returns:
      The model, which maps inputs [B, T, I] to logits [B, T, O], and its parameters.

    Raises:
      ConfigError: unknown name, a damaged file, or an invalid `num_slots`.
    """
    trained = restore_pretrained(name, num_slots)
    return trained.model, trained.first_params


def restore_pretrained(name: str, num_slots: int | None = None) -> TrainedModel:
    """Restores a pretrained model for evaluation.

    Args:
      name: an element of `list_pretrained()`.
      num_slots: memory slots, in place of the config's.

    Raises:
      ConfigError: unknown name, a damaged file, or an invalid `num_slots`.
    """
    card = load_card(name)
    config = card["config"]
    experiment = Experiment.from_config(config, num_slots)
    path = _DIRECTORY / f"{name}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            params = traverse_util.unflatten_dict(dict(arrays), sep="/")
    except _LOAD_ERRORS as error:
        raise _damaged(path, error) from None
    solved_at = card["training"].get("solved_at_step")
    return TrainedModel(
        model=experiment.model,
        params=jax.tree.map(lambda leaf: leaf[None], params),
        task=experiment.task,
        config=config,
        seeds=[config["seed"]],
        sequences_to_solve=[None if solved_at is None else solved_at * config["batch_size"]],
        num_slots=experiment.num_slots,
        checkpoint=str(path),
    )


def load_card(name: str) -> dict[str, Any]:
    """Returns the model card of a pretrained model.

    Returns:
      A dict with the keys "command", "config" (as for `Experiment.from_config`), "training" (the
      summary of the run) and "measured" (evaluation results).

    Raises:
      ConfigError: unknown name, or a damaged file.
    """
    if name not in list_pretrained():
        raise ConfigError(f"name: expected one of {tuple(list_pretrained())}, got {name!r}")
    path = _DIRECTORY / f"{name}.json"
    try:
        card = json.loads(path.read_text())
        card["config"] = from_dict(card["config"])
        validate(card["config"])
    except _LOAD_ERRORS as error:
        raise _damaged(path, error) from None
    return card


def save_pretrained(name: str, params: Any, card: dict[str, Any]) -> None:
    """Writes the parameters and the model card of a pretrained model into the package.

    Args:
      name: name of the model; an existing model of this name is replaced.
      params: the parameters, without an ensemble axis.
      card: as `load_card` returns it.
    """
    np.savez(
        _DIRECTORY / f"{name}.npz", **traverse_util.flatten_dict(jax.device_get(params), sep="/")
    )
    (_DIRECTORY / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path} is damaged: {truncate_repr(error)}; reinstall ntm_jax")
