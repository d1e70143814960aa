"""Checkpoints of a run: parameters, optimizer state and step, stored by orbax."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

__all__ = ["CheckpointError", "Checkpoints"]


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, does not fit the model, or cannot be stored."""


class Checkpoints:
    """The checkpoints in a run folder; the newest two are kept.

    A checkpoint is written beside the others and renamed when it is whole: a write that fails
    leaves the older ones as they were.
    """

    def __init__(self, workdir: Path) -> None:
        self.directory = (Path(workdir) / "checkpoints").absolute()
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_names=("params", "optimizer_state"),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=2, enable_async_checkpointing=False, cleanup_tmp_directories=True
            ),
        )

    def latest_step(self) -> int | None:
        """Updates behind the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def path(self, step: int) -> Path:
        """Where the checkpoint of this step lies."""
        return self.directory / str(step)

    def save(self, step: int, params: Any, optimizer_state: Any) -> None:
        """Stores the state after `step` updates, unless it is there already.

        Raises:
          CheckpointError: the disk is full or cannot be written to.
        """
        if step in self._manager.all_steps():
            return
        # As NumPy arrays: what is stored does not depend on how many devices there were.
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(jax.device_get(params)),
                    optimizer_state=ocp.args.StandardSave(jax.device_get(optimizer_state)),
                ),
            )
        except (OSError, ValueError) as error:  # a full disk is a ValueError of tensorstore
            last = self.latest_step()
            raise CheckpointError(
                f"{self.path(step)}: expected to store a checkpoint, got: {str(error)[-100:]}; "
                + (f"the last good one is {self.path(last)}" if last else "there is none before it")
            ) from error

    def restore(self, step: int, params: Any, optimizer_state: Any = None) -> tuple[Any, Any]:
        """Loads the checkpoint of `step`.

        Args:
          step: one that exists.
          params: arrays or shapes of the same structure as what was stored.
          optimizer_state: likewise; None leaves it out.

        Returns:
          Parameters and optimizer state, as NumPy arrays.

        Raises:
          CheckpointError: the checkpoint cannot be read or has other shapes.
        """
        wanted = {"params": params}
        if optimizer_state is not None:
            wanted["optimizer_state"] = optimizer_state
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), wanted)
        try:
            found = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardRestore(item) for name, item in like.items()}
                ),
            )
        except (KeyError, OSError, TypeError, ValueError) as error:
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise CheckpointError(
                f"{self.path(step)}: expected a checkpoint that fits config.json, got: {first_line}"
            ) from error
        for want, got in zip(jax.tree.leaves(like), jax.tree.leaves(dict(found)), strict=True):
            if want.shape != got.shape:
                raise CheckpointError(
                    f"{self.path(step)}: expected a checkpoint that fits config.json, got an array "
                    f"of shape {got.shape} in place of {want.shape}"
                )
        return found["params"], found.get("optimizer_state")
