"""Checkpoints of a run, stored by orbax and verified by checksums.

checkpoints/<step>/state/            written by orbax
checkpoints/<step>/checksums.json    SHA-256 of each of its files
"""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from ntm_jax.training import run_dir

__all__ = ["Checkpoint", "CheckpointError", "Checkpoints"]

_MAX_TO_KEEP = 2
_UNFINISHED = ".unfinished"
_METADATA_BYTES = 1 << 20  # upper bound of what orbax writes in addition to the arrays


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged, of another model, or cannot be stored."""


class Checkpoint(NamedTuple):
    """A restored checkpoint.

    Attributes:
      step: completed training steps.
      params: the parameters, as NumPy arrays.
      train_state: all else that training needs, as NumPy arrays; None if it was not requested.
      warnings: one line for each newer checkpoint that is damaged, and for missing checksums.
    """

    step: int
    params: Any
    train_state: Any
    warnings: list[str]


class Checkpoints:
    """The checkpoints in a run directory; the two newest are kept.

    A checkpoint is written under a temporary name and renamed once it is complete, so a failed
    write leaves the older ones unchanged. Its checksums are verified before it is restored.
    """

    def __init__(self, workdir: Path) -> None:
        self.directory = (Path(workdir) / "checkpoints").absolute()
        # Process 0 alone writes and reads; orbax must not wait for the others.
        options = ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="ntm_jax"
        )
        handler = ocp.CompositeCheckpointHandler(
            composite_options=ocp.CompositeOptions(multiprocessing_options=options)
        )
        self._checkpointer = ocp.Checkpointer(handler, multiprocessing_options=options)

    def steps(self) -> list[int]:
        """Returns the step of every checkpoint, in ascending order."""
        names = (path.name for path in self.directory.glob("*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def path(self, step: int) -> Path:
        """Returns the directory of the checkpoint of `step`."""
        return self.directory / str(step)

    def latest_checkpoint_message(self) -> str:
        """Returns the path of the newest checkpoint, as part of an error message."""
        steps = self.steps()
        return f"latest checkpoint: {self.path(steps[-1]) if steps else 'none'}"

    def save(self, step: int, params: Any, train_state: Any) -> None:
        """Stores a checkpoint, unless there is one of this step.

        Raises:
          CheckpointError: the disk is full, or the directory cannot be written to.
        """
        if step in self.steps():
            return
        unfinished = self.path(step).with_suffix(_UNFINISHED)
        # NumPy arrays: the files do not depend on the number of devices.
        items = jax.device_get({"params": params, "optimizer_state": train_state})
        args = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        try:
            unfinished.mkdir(parents=True)
            # Checked first, because threads of orbax print tracebacks when the disk is full.
            needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(items)) + _METADATA_BYTES
            if shutil.disk_usage(unfinished).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._checkpointer.save(unfinished / "state", ocp.args.Composite(**args))
            run_dir.write_json(unfinished / "checksums.json", _checksums(unfinished / "state"))
            unfinished.rename(self.path(step))
            self._remove_old()
        except (OSError, ValueError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            # A write error of tensorstore is a long ValueError with the reason at its end.
            reason = str(error) if isinstance(error, OSError) else f"...{str(error)[-100:]}"
            raise CheckpointError(
                f"{self.path(step)}: the checkpoint could not be stored: {reason}; "
                f"{self.latest_checkpoint_message()}"
            ) from error

    def restore(self, step: int, params: Any, train_state: Any = None) -> Checkpoint:
        """Restores the checkpoint of `step`.

        Args:
          step: the step of an existing checkpoint.
          params: arrays or shapes of the same structure as the stored parameters.
          train_state: the same for the rest of the training state; None leaves it out.

        Raises:
          CheckpointError: the checkpoint is damaged, or has other shapes.
        """
        path = self.path(step)
        state, warnings = path / "state", []
        if state.exists():
            _verify(path)
        else:
            state = path
            warnings.append(f"{path}: no checksums (written by an older version); not verified")
        requested = {"params": params}
        if train_state is not None:
            requested["optimizer_state"] = train_state
        templates = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), requested)
        args = {name: ocp.args.StandardRestore(item) for name, item in templates.items()}
        try:
            restored = dict(self._checkpointer.restore(state, ocp.args.Composite(**args)))
        except (KeyError, OSError, TypeError, ValueError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise CheckpointError(
                f"{path}: expected a checkpoint that fits config.json, got: {reason}"
            ) from error
        pairs = zip(jax.tree.leaves(templates), jax.tree.leaves(restored), strict=True)
        for template, leaf in pairs:
            if template.shape != leaf.shape:
                raise CheckpointError(
                    f"{path}: expected a checkpoint that fits config.json, with an array of shape "
                    f"{template.shape}, got {leaf.shape}"
                )
        return Checkpoint(step, restored["params"], restored.get("optimizer_state"), warnings)

    def restore_latest(self, params: Any, train_state: Any = None) -> Checkpoint | None:
        """Restores the newest checkpoint that is not damaged; None if there is no checkpoint.

        Raises:
          CheckpointError: all checkpoints are damaged.
        """
        damaged: list[str] = []
        for step in reversed(self.steps()):
            try:
                checkpoint = self.restore(step, params, train_state)
            except CheckpointError as error:
                damaged.append(str(error))
            else:
                fallback = [f"{message}; using step {step} instead" for message in damaged]
                return checkpoint._replace(warnings=fallback + checkpoint.warnings)
        if damaged:
            raise CheckpointError(
                f"{damaged[0]}; there is no other valid checkpoint: restore the files from a copy, "
                "or train again in another --workdir"
            )
        return None

    def remove_after(self, step: int) -> None:
        """Removes newer checkpoints, and unfinished ones of a killed process."""
        for path in self.directory.glob("*"):
            is_newer = path.name.isdecimal() and int(path.name) > step
            if is_newer or path.suffix == _UNFINISHED:
                shutil.rmtree(path)
        self._remove_old()

    def _remove_old(self) -> None:
        for step in self.steps()[:-_MAX_TO_KEEP]:
            shutil.rmtree(self.path(step))


def _checksums(state: Path) -> dict[str, str]:
    return {
        str(path.relative_to(state)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(state.rglob("*"))
        if path.is_file()
    }


def _verify(path: Path) -> None:
    """Raises a CheckpointError that names a file whose checksum differs."""
    try:
        expected = json.loads((path / "checksums.json").read_text())
        changed = sorted(expected.items() ^ _checksums(path / "state").items())
    except (AttributeError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a readable checkpoint, got: {error}") from error
    if changed:
        raise CheckpointError(f"{path}: the checksum of {changed[0][0]} does not match")
