"""Trained models, with what scoring, tables and plots need."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax

from ntm_jax.evaluation.scoring import Result
from ntm_jax.models import finite_members, num_params
from ntm_jax.tasks.base import Size, Task, describe_size

__all__ = ["TrainedModel"]


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model, or an ensemble of E trained models.

    Attributes:
      model: maps inputs [B, T, I] to logits [B, T, O].
      params: the parameters; every leaf has a leading axis E.
      task: the task that the model was trained on.
      config: the training config.
      seeds: the seed of each member.
      sequences_to_solve: for each member the number of training sequences until it counted as
        solved; None if it never did.
      num_slots: number of memory slots; None for a model without a memory.
      checkpoint: the file or directory that the parameters were read from.
      warnings: one line for each problem found while reading, and for members whose parameters are
        not finite.

    Raises:
      ValueError: no member has finite parameters.
    """

    model: nn.Module
    params: Any
    task: Task
    config: Mapping[str, Any]
    seeds: Sequence[int]
    sequences_to_solve: Sequence[int | None]
    num_slots: int | None
    checkpoint: str
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Checks that the parameters are finite."""
        finite = finite_members(self.params)
        failed = [seed for seed, ok in zip(self.seeds, finite, strict=True) if not ok]
        line = "parameters: expected finite numbers, got NaN or infinity"
        if len(failed) == len(self.seeds):
            raise ValueError(line)
        if failed:
            line = f"{self.checkpoint}: {line} for seed {', '.join(map(str, failed))}"
            object.__setattr__(self, "warnings", (*self.warnings, line))

    @property
    def first_params(self) -> Any:
        """The parameters of the first member."""
        return jax.tree.map(lambda leaf: leaf[0], self.params)

    @property
    def workdir(self) -> Path | None:
        """The run directory; None for a model that is no run."""
        path = Path(self.checkpoint)
        return path.parent.parent if path.parent.name == "checkpoints" else None

    @property
    def name(self) -> str:
        """The names of the task and the model, such as "copy, ntm"."""
        return f"{self.config['task']['name']}, {self.config['model']['name']}"

    @property
    def num_params(self) -> int:
        """The number of parameters of one member."""
        return num_params(self.first_params)

    def is_solved(self, results: Sequence[Result]) -> bool:
        """Returns whether the results of one member are within the thresholds of the task."""
        return self.task.is_solved({r.size: getattr(r, self.task.metric) for r in results})

    def slot_warnings(self, sizes: Sequence[Size]) -> list[str]:
        """Returns one line for each size that needs more slots than the memory has."""
        if self.num_slots is None:
            return []
        needed = {size: self.task.min_slots(*size) for size in sizes}
        return [
            f"{describe_size(self.task, size)} needs {min_slots} slots, the memory has "
            f"{self.num_slots}"
            for size, min_slots in needed.items()
            if min_slots > self.num_slots
        ]
