"""Checkpoints of a run: parameters, optimizer state and step, stored by orbax.

checkpoints/<step>/state/            what orbax wrote
checkpoints/<step>/checksums.json    SHA-256 of each file of it
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

__all__ = ["CheckpointError", "Checkpoints", "Restored"]

_KEPT = 2
_UNFINISHED = ".unfinished"
_ROOM = 1 << 20  # bytes for what orbax writes beside the arrays, and those twice


class CheckpointError(RuntimeError):
    """A checkpoint that is missing or damaged, does not fit the model, or cannot be stored."""


class Restored(NamedTuple):
    """A checkpoint, read.

    Attributes:
      step: updates behind it.
      params: as NumPy arrays.
      optimizer_state: likewise; None if it was not asked for.
      remarks: lines for the user: of newer checkpoints that are damaged, of missing checksums.
    """

    step: int
    params: Any
    optimizer_state: Any
    remarks: list[str]


class Checkpoints:
    """The checkpoints in a run folder; the newest two are kept.

    A checkpoint is written beside the others and renamed when it is whole: a write that fails
    leaves the older ones as they were. Its checksums are compared before anything of it is used, so
    that a damaged one, by a power cut say, is told from a good one.
    """

    def __init__(self, workdir: Path) -> None:
        self.directory = (Path(workdir) / "checkpoints").absolute()
        # Process 0 stores and reads alone: no other is waited for.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="ntm_jax"
        )
        handler = ocp.CompositeCheckpointHandler(
            composite_options=ocp.CompositeOptions(multiprocessing_options=alone)
        )
        self._checkpointer = ocp.Checkpointer(handler, multiprocessing_options=alone)

    def steps(self) -> list[int]:
        """Updates behind each checkpoint, the newest last."""
        names = (path.name for path in self.directory.glob("*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def path(self, step: int) -> Path:
        """Where the checkpoint of this step lies."""
        return self.directory / str(step)

    def last(self) -> str:
        """Where the newest checkpoint lies, for a message."""
        steps = self.steps()
        return f"last good checkpoint: {self.path(steps[-1]) if steps else 'none yet'}"

    def save(self, step: int, params: Any, optimizer_state: Any) -> None:
        """Stores the state after `step` updates, unless it is there already.

        Raises:
          CheckpointError: the disk is full or cannot be written to.
        """
        if step in self.steps():
            return
        unfinished = self.path(step).with_suffix(_UNFINISHED)
        # As NumPy arrays: what is stored does not depend on how many devices there were.
        items = jax.device_get({"params": params, "optimizer_state": optimizer_state})
        saved = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        try:
            unfinished.mkdir(parents=True)
            # Asked beforehand: threads of orbax that find the disk full end in tracebacks.
            needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(items)) + _ROOM
            if shutil.disk_usage(unfinished).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._checkpointer.save(unfinished / "state", ocp.args.Composite(**saved))
            run_dir.write_json(unfinished / "checksums.json", _checksums(unfinished / "state"))
            unfinished.rename(self.path(step))
            self._remove_old()
        except (OSError, ValueError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            # What tensorstore cannot write is a long ValueError, with the reason at its end.
            said = str(error) if isinstance(error, OSError) else f"...{str(error)[-100:]}"
            raise CheckpointError(
                f"{self.path(step)}: expected to store a checkpoint, got: {said}; {self.last()}"
            ) from error

    def restore(self, step: int, params: Any, optimizer_state: Any = None) -> Restored:
        """Loads the checkpoint of `step`.

        Args:
          step: one that exists.
          params: arrays or shapes of the same structure as what was stored.
          optimizer_state: likewise; None leaves it out.

        Raises:
          CheckpointError: the checkpoint is damaged, or has other shapes.
        """
        path = self.path(step)
        state, remarks = path / "state", []
        if state.exists():
            _verify(path)
        else:
            state = path
            remarks.append(f"{path}: without checksums, as of an older version; taken unchecked")
        wanted = {"params": params}
        if optimizer_state is not None:
            wanted["optimizer_state"] = optimizer_state
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), wanted)
        items = {name: ocp.args.StandardRestore(item) for name, item in like.items()}
        try:
            found = dict(self._checkpointer.restore(state, ocp.args.Composite(**items)))
        except (KeyError, OSError, TypeError, ValueError) as error:
            said = (str(error).strip() or repr(error)).splitlines()[0]
            raise CheckpointError(
                f"{path}: expected a checkpoint that fits config.json, got: {said}"
            ) from error
        for want, got in zip(jax.tree.leaves(like), jax.tree.leaves(found), strict=True):
            if want.shape != got.shape:
                raise CheckpointError(
                    f"{path}: expected a checkpoint that fits config.json, got an array of shape "
                    f"{got.shape} in place of {want.shape}"
                )
        return Restored(step, found["params"], found.get("optimizer_state"), remarks)

    def restore_newest(self, params: Any, optimizer_state: Any = None) -> Restored | None:
        """Loads the newest checkpoint that is good; None if there is none at all.

        Args:
          params: arrays or shapes of the same structure as what was stored.
          optimizer_state: likewise; None leaves it out.

        Raises:
          CheckpointError: there are checkpoints, and all are damaged or have other shapes.
        """
        problems: list[str] = []
        for step in reversed(self.steps()):
            try:
                found = self.restore(step, params, optimizer_state)
            except CheckpointError as error:
                problems.append(str(error))
            else:
                back = [f"{problem}; going back to {self.path(step)}" for problem in problems]
                return found._replace(remarks=back + found.remarks)
        if problems:
            raise CheckpointError(
                f"{problems[0]}; no other is good: put a copy back, or train anew in another folder"
            )
        return None

    def remove_after(self, step: int) -> None:
        """Removes newer checkpoints, and what a process that was killed had in hand."""
        for path in self.directory.glob("*"):
            newer = path.name.isdecimal() and int(path.name) > step
            if newer or path.suffix == _UNFINISHED:
                shutil.rmtree(path)
        self._remove_old()

    def _remove_old(self) -> None:
        for step in self.steps()[:-_KEPT]:
            shutil.rmtree(self.path(step))


def _checksums(state: Path) -> dict[str, str]:
    """Of each file, by its name."""
    return {
        str(path.relative_to(state)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(state.rglob("*"))
        if path.is_file()
    }


def _verify(path: Path) -> None:
    """Raises an error that names a file of the checkpoint that is not as it was written."""
    try:
        expected, found = json.loads((path / "checksums.json").read_text()), {}
        found = _checksums(path / "state")
        names = sorted(expected.items() ^ found.items())
    except (AttributeError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a readable checkpoint, got: {error}") from error
    if names:
        raise CheckpointError(
            f"{path}: expected files as their checksums say, got a damaged {names[0][0]}"
        )
