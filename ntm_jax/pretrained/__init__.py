"""Pretrained models that come with the package: parameters as NAME.npz, a model card as NAME.json.

A card has the training config, the command, the summary of the run, the rule by which the model was
chosen, and evaluation results. Loading runs no code from the files.
"""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.runtime import files
from ntm_jax.training.config import ConfigError, from_dict, validate
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.run_dir import write_json

__all__ = [
    "list_pretrained",
    "load_card",
    "load_pretrained",
    "restore_pretrained",
    "save_pretrained",
]

_DIRECTORY = Path(__file__).parent


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
    solved_at = card["training"].get("solved_at_step")
    try:
        arrays = files.read_npz(path, traverse_util.flatten_dict(experiment.param_shapes, sep="/"))
        return TrainedModel(
            model=experiment.model,
            params=traverse_util.unflatten_dict({k: v[None] for k, v in arrays.items()}, sep="/"),
            task=experiment.task,
            config=config,
            seeds=[config["seed"]],
            sequences_to_solve=[None if solved_at is None else solved_at * config["batch_size"]],
            num_slots=experiment.num_slots,
            checkpoint=str(path),
        )
    except ValueError as error:
        raise _damaged(path, error) from None


def load_card(name: str) -> dict[str, Any]:
    """Returns the model card of a pretrained model.

    Returns:
      A dict with the keys "command", "selection" (how the model was chosen), "limits" (its largest
      errors by size), "config" (as for `Experiment.from_config`), "training" (the summary of the
      run) and "measured" (evaluation results).

    Raises:
      ConfigError: unknown name, or a damaged file.
    """
    if name not in list_pretrained():
        raise ConfigError(f"name: expected one of {tuple(list_pretrained())}, got {name!r}")
    path = _DIRECTORY / f"{name}.json"
    try:
        card = files.parse_json(path.read_bytes(), "a model card in JSON")
        for key in ("config", "training"):
            if not isinstance(card.get(key), dict):
                raise ValueError(f"{key}: expected an object, got {card.get(key)!r:.50}")
        solved_at = card["training"].get("solved_at_step")
        if solved_at is not None and type(solved_at) is not int:
            raise ValueError(f"solved_at_step: expected an integer, got {solved_at!r:.50}")
        card["config"] = from_dict(card["config"])
        validate(card["config"])
        Experiment.from_config(card["config"])
    except (OSError, ValueError) as error:
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
    write_json(_DIRECTORY / f"{name}.json", card)


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path} is damaged: {files.one_line(error)}; reinstall ntm_jax")
