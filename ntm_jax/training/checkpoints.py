"""Checkpoints of a run, stored by orbax and verified by checksums.

checkpoints/<step>/state/            written by orbax
checkpoints/<step>/checksums.json    SHA-256 of each of its files
"""

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from ntm_jax.runtime import files
from ntm_jax.training import run_dir

__all__ = ["Checkpoint", "CheckpointError", "Checkpoints"]

_MAX_TO_KEEP = 2
_UNFINISHED = ".unfinished"
_METADATA_BYTES = 1 << 20  # upper bound of what orbax writes in addition to the arrays
_STEP = re.compile("0|[1-9][0-9]*")
# Parts of a path that orbax, etils or tensorstore read as a pattern, a separator or a bucket.
_REFUSED = re.compile(r"[\[*?\\\ud800-\udfff]|/gs:/|^/(?:gs|s3|az|hf)/")


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged, of another model, or cannot be stored or read."""


class _DamagedError(CheckpointError):
    """A checkpoint whose files are not those that were stored."""


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

    A checkpoint is written under a temporary name, read back, and renamed if it equals what was
    stored, so a failed write leaves the older ones unchanged. Its checksums are verified before it
    is restored.

    Raises:
      CheckpointError: orbax cannot store files under this path; or, in all methods, the directory
        cannot be read.
    """

    def __init__(self, workdir: Path) -> None:
        self.directory = (Path(workdir) / "checkpoints").absolute()
        if ".." in self.directory.parts:  # tensorstore would drop a link before it
            self.directory = self.directory.resolve()
        if refused := _REFUSED.search(f"{self.directory}"):
            raise CheckpointError(
                f"{workdir}: expected a path in which orbax can store checkpoints, got "
                f"{refused[0]!r} in it; choose another --workdir"
            )
        # Process 0 alone writes and reads; orbax must not wait for the others.
        options = ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="ntm_jax"
        )
        handler = ocp.CompositeCheckpointHandler(
            composite_options=ocp.CompositeOptions(multiprocessing_options=options)
        )
        self._checkpointer = ocp.Checkpointer(handler, multiprocessing_options=options)
        self._item_handler = ocp.StandardCheckpointHandler(multiprocessing_options=options)

    def steps(self) -> list[int]:
        """Returns the step of every checkpoint, in ascending order."""
        return sorted(int(name) for name in self._directories() if _STEP.fullmatch(name))

    def path(self, step: int) -> Path:
        """Returns the directory of the checkpoint of `step`."""
        return self.directory / str(step)

    def latest_checkpoint_message(self) -> str:
        """Returns the path of the newest checkpoint, as part of an error message."""
        try:
            steps = self.steps()
        except CheckpointError:
            return "latest checkpoint: unknown"
        return f"latest checkpoint: {self.path(steps[-1]) if steps else 'none'}"

    def save(self, step: int, params: Any, train_state: Any) -> None:
        """Stores a checkpoint, unless there is one of this step.

        Raises:
          CheckpointError: the disk is full, the directory cannot be written to, or the files
            differ from what was stored.
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
            state = unfinished / "state"
            self._checkpointer.save(state, ocp.args.Composite(**args))
            read = jax.tree.leaves(self._read(state, items))
            pairs = zip(jax.tree.leaves(items), read, strict=True)
            if any(leaf.tobytes() != other.tobytes() for leaf, other in pairs):
                raise OSError("the stored arrays differ from those in memory")
            paths = [path for path in sorted(state.rglob("*")) if path.is_file()]
            checksums = {str(path.relative_to(state)): _sha256(path) for path in paths}
            run_dir.write_json(unfinished / "checksums.json", checksums)
            unfinished.rename(self.path(step))
            self._remove_old()
        except Exception as error:  # orbax and tensorstore raise many types
            shutil.rmtree(unfinished, ignore_errors=True)
            # A write error of tensorstore is a long ValueError with the reason at its end.
            reason = str(error) if isinstance(error, OSError) else f"...{str(error)[-100:]}"
            reason = " ".join(reason.split())
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
          CheckpointError: the checkpoint is damaged, has other arrays, or cannot be read.
        """
        path = self.path(step)
        state, warnings = path / "state", []
        if os.path.exists(state) or not os.path.exists(path / "params"):
            _verify(path)
        else:
            state = path
            warnings.append(f"{path}: no checksums (written by an older version); not verified")
        requested = {"params": params}
        if train_state is not None:
            requested["optimizer_state"] = train_state
        try:
            self._check_metadata(state, requested)
            restored = self._read(state, requested)
        except Exception as error:
            fits = not isinstance(error, files.FileContentError)
            expected = "a readable checkpoint" if fits else "a checkpoint that fits config.json"
            raise CheckpointError(
                f"{path}: expected {expected}; {files.one_line(error)}"
            ) from error
        return Checkpoint(step, restored["params"], restored.get("optimizer_state"), warnings)

    def restore_latest(self, params: Any, train_state: Any = None) -> Checkpoint | None:
        """Restores the newest checkpoint that is not damaged; None if there is no checkpoint.

        Raises:
          CheckpointError: all checkpoints are damaged; or one that is not damaged does not fit, or
            cannot be read.
        """
        damaged: list[str] = []
        for step in reversed(self.steps()):
            try:
                checkpoint = self.restore(step, params, train_state)
            except _DamagedError as error:
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
        for name in self._directories():
            stem = name.removesuffix(_UNFINISHED)
            if _STEP.fullmatch(stem) and (stem != name or int(name) > step):
                shutil.rmtree(self.directory / name)
        self._remove_old()

    def _directories(self) -> list[str]:
        try:
            with os.scandir(self.directory) as entries:
                return [entry.name for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"{self.directory}: expected a readable directory, got: {error.strerror}"
            ) from error

    def _check_metadata(self, state: Path, items: dict[str, Any]) -> None:
        """Compares the shapes of the items with the metadata, before any array is read."""
        for name, item in items.items():
            metadata = self._item_handler.metadata(state / name)
            stored = _by_name({name: getattr(metadata, "tree", metadata)})
            found = {k: files.describe_array(v.shape, v.dtype) for k, v in stored.items()}
            files.check_arrays(_by_name({name: item}), found)

    def _read(self, state: Path, items: dict[str, Any]) -> dict[str, Any]:
        """Restores the items as NumPy arrays."""
        templates = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), items)
        args = {name: ocp.args.StandardRestore(item) for name, item in templates.items()}
        return dict(self._checkpointer.restore(state, ocp.args.Composite(**args)))

    def _remove_old(self) -> None:
        for step in self.steps()[:-_MAX_TO_KEEP]:
            shutil.rmtree(self.path(step))


def _by_name(tree: Any) -> dict[str, Any]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(key, simple=True, separator="/"): leaf for key, leaf in leaves}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "no file"


def _verify(path: Path) -> None:
    """Compares the files with their checksums; additional files are ignored.

    Raises:
      _DamagedError: a file is missing or changed.
      CheckpointError: a file cannot be read, which does not prove that it is damaged.
    """
    try:
        content = (path / "checksums.json").read_bytes()
        expected = files.parse_json(content, "checksums in checksums.json")
        changed = [n for n, sha256 in expected.items() if sha256 != _sha256(path / "state" / n)]
    except (FileNotFoundError, ValueError) as error:
        raise _DamagedError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: expected a readable checkpoint; {error}") from error
    if changed or not expected:
        name = min(changed, default="checksums.json")
        raise _DamagedError(f"{path}: the checksum of {name} does not match")
