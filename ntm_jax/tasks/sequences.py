"""Sequences from a file, for training and for evaluation."""

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax.tasks.base import FULL_RANGE, Batch, Size, SizeRange, Task

__all__ = ["ScoredSequences", "Sequences", "load_sequences"]


def load_sequences(path: str | Path) -> Batch:
    """Reads a .npz file with the arrays of a `Batch`.

    Args:
      path: a file with "inputs" [S, T, I], "targets" [S, T, O], in [0, 1], and "mask" [S, T], 1 or
        true at the steps whose outputs are scored; shorter sequences are padded.

    Raises:
      ValueError: the file cannot be read, or has other arrays; one line with the path.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [np.asarray(file[name]) for name in Batch._fields]
    except Exception as error:
        reason = " ".join(str(error).split())
        expected = "a .npz file with the arrays inputs, targets and mask"
        raise ValueError(f"{path}: expected {expected}, got: {reason}") from None
    inputs, targets, mask = arrays
    for name, array, axes in zip(Batch._fields, arrays, ("STI", "STO", "ST"), strict=True):
        shape = (*inputs.shape[:2], *array.shape[2:])
        if array.ndim != len(axes) or array.shape != shape or not array.size:
            shapes = f"[{', '.join(axes)}], of the first axes of inputs"
            raise ValueError(f"{path}: expected {name} {shapes}, got {array.shape}")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"{path}: expected finite numbers in {name}, got {array.dtype}")
    if targets.min() < 0 or targets.max() > 1:
        got = f"{targets.min():g} to {targets.max():g}"
        raise ValueError(f"{path}: expected targets from 0 to 1, got {got}")
    if not np.isin(mask, (0, 1)).all() or not mask.any(axis=1).all():
        expected = "a mask of 0 and 1, with a scored step in each sequence"
        raise ValueError(f"{path}: expected {expected}, got another")
    dtypes = (np.float32, np.float32, bool)
    # NumPy arrays: constants of the functions that are compiled.
    return Batch(*(a.astype(d) for a, d in zip(arrays, dtypes, strict=True)))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Sequences(Task):
    """The sequences of a file, which all have one size, ().

    A config names it ntm_jax.tasks.sequences:Sequences.

    Attributes:
      path: the path of the .npz file that `load_sequences` describes.

    Raises:
      ValueError: the file cannot be read, or has other arrays.
    """

    size_axes: ClassVar = {}
    fixed_size: ClassVar[bool] = True

    path: str = ""

    def __post_init__(self) -> None:
        """Reads the file."""
        try:
            _ = self.batch
        except ValueError as error:
            raise ValueError(f"task.path: {error}") from None

    @functools.cached_property
    def batch(self) -> Batch:
        """All sequences."""
        return load_sequences(self.path)

    @property
    def input_features(self) -> int:
        """Size of an input vector, I."""
        return self.batch.inputs.shape[2]

    @property
    def output_features(self) -> int:
        """Size of a target vector, O."""
        return self.batch.targets.shape[2]

    @property
    def max_train_size(self) -> Size:
        """No number: all sequences have one size."""
        return ()

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Draws sequences, with replacement."""
        del size_range
        indices = jax.random.randint(key, (batch_size,), 0, len(self.batch.inputs))
        return Batch(*(jnp.asarray(array)[indices] for array in self.batch))

    def sample_size(self, key: jax.Array, batch_size: int, *size: int) -> Batch:
        """Draws sequences, with replacement."""
        self.check_size(*size)
        return self.sample(key, batch_size)


@dataclasses.dataclass(frozen=True)
class ScoredSequences(Sequences):
    """Sequences with the loss and the metrics of another task.

    Attributes:
      path: the path of the .npz file.
      scored_as: the other task.

    Raises:
      ValueError: the file cannot be read, or does not have the features of the task.
    """

    scored_as: Task = dataclasses.field(default_factory=Task)

    def __post_init__(self) -> None:
        """Reads the file, and compares it with the task."""
        super().__post_init__()
        for name in ("input_features", "output_features"):
            expected, got = getattr(self.scored_as, name), getattr(self, name)
            if got != expected:
                raise ValueError(f"task.path: {self.path}: expected {expected} {name}, got {got}")
        for name in ("metric", "unit", "thresholds", "unmasked_weight"):
            object.__setattr__(self, name, getattr(self.scored_as, name))
        for name in ("optimal_bits", "cross_entropy", "errors", "probabilities", "loss", "metrics"):
            object.__setattr__(self, name, getattr(self.scored_as, name))
