"""Trained models as two files: the parameters in NAME.npz, a model card in NAME.json.

A card has the training config under "config" and the summary of the run under "training"; those of
pretrained models have more (`ntm_jax.pretrained`). Reading runs no code from the files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from flax import traverse_util

from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.runtime import files
from ntm_jax.training import run_dir
from ntm_jax.training.config import ConfigError, from_dict, validate
from ntm_jax.training.experiment import Experiment

__all__ = ["PRETRAINED", "export", "list_pretrained", "load_card", "load_model", "save_model"]

# The models that come with the package.
PRETRAINED = Path(__file__).parents[1] / "pretrained"


def list_pretrained() -> list[str]:
    """Returns the names of all pretrained models."""
    return sorted(path.stem for path in PRETRAINED.glob("*.npz"))


def load_model(name: str | Path, num_slots: int | None = None) -> TrainedModel:
    """Loads a model for evaluation.

    Args:
      name: the path of FILE.npz, with FILE.json beside it, or an element of `list_pretrained()`.
      num_slots: memory slots, in place of the config's.

    Raises:
      ConfigError: no such model, a damaged file, or an invalid `num_slots`.
    """
    card, path = load_card(name), _path(name)
    config = card["config"]
    experiment = Experiment.from_config(config, num_slots)
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


def load_card(name: str | Path) -> dict[str, Any]:
    """Returns the model card of a model.

    Args:
      name: as for `load_model`.

    Returns:
      A dict with at least the keys "config" (as for `Experiment.from_config`) and "training" (the
      summary of the run).

    Raises:
      ConfigError: no such model, or a damaged file.
    """
    path = _path(name).with_suffix(".json")
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


def save_model(path: Path, params: Any, card: dict[str, Any]) -> None:
    """Writes FILE.npz and FILE.json; existing files of these names are replaced.

    Args:
      path: the path of FILE.npz.
      params: the parameters of one model, without an ensemble axis.
      card: as `load_card` returns it.

    Raises:
      OSError: a file cannot be written.
    """
    files.write_npz(path, traverse_util.flatten_dict(jax.device_get(params), sep="/"))
    run_dir.write_json(path.with_suffix(".json"), card)


def export(trained: TrainedModel, path: Path, measured: Mapping[str, Any]) -> None:
    """Writes a trained model, with a card that has its config, its training and an evaluation.

    Args:
      trained: one model.
      path: the path of FILE.npz.
      measured: the evaluation, ready for a JSON file.

    Raises:
      OSError: a file cannot be written.
    """
    (seed,) = trained.seeds
    if trained.workdir is None:
        training = load_card(trained.checkpoint)["training"]
    else:
        training = run_dir.read_summary(trained.workdir)
        members = training.pop("members", [])
        training |= next((member for member in members if member["seed"] == seed), {})
    (sequences,) = trained.sequences_to_solve
    solved_at = None if sequences is None else sequences // trained.config["batch_size"]
    config = {**trained.config, "seed": seed, "num_seeds": 1}
    card = {
        "config": config,
        "training": {**training, "seed": seed, "solved_at_step": solved_at},
        "measured": dict(measured),
    }
    save_model(path, trained.first_params, card)


def _path(name: str | Path) -> Path:
    """Returns the path of a model's parameters."""
    path = Path(name)
    if path.suffix == ".npz":
        if path.is_file():
            return path
        raise ConfigError(f"{path}: no such file")
    if str(name) not in list_pretrained():
        expected = f"FILE.npz or one of {(*list_pretrained(),)}"
        raise ConfigError(f"name: expected {expected}, got {str(name)!r}")
    return PRETRAINED / f"{name}.npz"


def _damaged(path: Path, error: Exception) -> ConfigError:
    advice = "reinstall ntm_jax" if path.parent == PRETRAINED else "export the model again"
    return ConfigError(f"{path} is damaged: {files.one_line(error)}; {advice}")
