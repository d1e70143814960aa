"""Pretrained models that come with the package: parameters as NAME.npz, a model card as NAME.json.

A card has the training config, the command, the summary of the run, the rule by which the model was
chosen ("selection"), its largest errors by size ("limits"), and evaluation results ("measured").
"""

from pathlib import Path
from typing import Any

import flax.linen as nn

from ntm_jax._renamed import renamed_names
from ntm_jax.training.model_files import list_pretrained, load_card, load_model

__all__ = ["list_pretrained", "load_card", "load_model", "load_pretrained"]

__getattr__ = renamed_names(__name__, {"restore_pretrained": "load_model"})


def load_pretrained(name: str | Path, num_slots: int | None = None) -> tuple[nn.Module, Any]:
    """Loads a model that comes with the package, or one that `eval.py --export` wrote.

    Loading runs no code from the files.

    Args:
      name: an element of `list_pretrained()`, or the path of FILE.npz, with FILE.json beside it.
      num_slots: memory slots, in place of the config's; the parameters do not depend on it.

    Returns:
      The model, which maps inputs [B, T, I] to logits [B, T, O], and its parameters.

    Raises:
      ConfigError: no such model, a damaged file, or an invalid `num_slots`.
    """
    trained = load_model(name, num_slots)
    return trained.model, trained.first_params
