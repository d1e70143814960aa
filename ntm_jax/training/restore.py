"""A trained machine, or an ensemble of them, with what is needed to judge it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from ntm_jax import models, pretrained
from ntm_jax.training import experiment, run_dir, success
from ntm_jax.training import config as configs
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.evaluation.scoring import Result
from ntm_jax.training.ensemble import Members
from ntm_jax.tasks.base import Task

__all__ = ["Trained", "load_pretrained", "load_run"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model with what is needed to judge it; an ensemble of them, if there are several.

    Attributes:
      model: from inputs to logits.
      members: its parameters; every leaf has a leading axis E, of the members.
      seeds: of the members.
      needed: sequences that each was trained on until it counted as solved; None if it did not.
      config: that it was trained with.
      task: what it was trained on.
      num_slots: slots of its memory, or None for a model without one.
      checkpoint: where the parameters came from.
      remarks: lines for the user, of checkpoints that are not as they should be.
    """

    model: nn.Module
    members: Any
    seeds: Sequence[int]
    needed: Sequence[int | None]
    config: ConfigDict
    task: Task
    num_slots: int | None
    checkpoint: Path
    remarks: Sequence[str] = ()

    @property
    def params(self) -> Any:
        """The parameters of the first member."""
        return jax.tree.map(lambda leaf: leaf[0], self.members)

    @property
    def num_params(self) -> int:
        """Number of parameters of one member."""
        return models.num_params(self.params)

    def solved(self, results: Sequence[Result]) -> bool:
        """Whether these results of one member count as solved."""
        errors = {result.size: getattr(result, self.task.judged_by) for result in results}
        return success.is_solved(errors, self.task.trained_size, self.task.limits)


def load_run(workdir: Path, num_slots: int | None = None, member: int | None = None) -> Trained:
    """The newest checkpoint of a run folder, ready to evaluate.

    Args:
      workdir: the run folder.
      num_slots: another size of the memory than the run's; parameters do not depend on it.
      member: the only one to take out of an ensemble, counted from 0; None takes all.

    Raises:
      RunError: not a run folder, or of a config that cannot be run.
      ConfigError: there is no memory to enlarge, or no such member.
      CheckpointError: there is no checkpoint, or none that is good.
    """
    config = run_dir.load_config(workdir)
    if member is not None and not 0 <= member < config.num_seeds:
        raise configs.ConfigError(
            f"member: expected one from 0 to {config.num_seeds - 1}, got {member}"
        )
    known = _known(config, num_slots)
    task = known["task"]
    inputs = jax.ShapeDtypeStruct((1, 1, task.input_features), np.float32)
    # The shapes that were trained: those of learned slots differ from an enlarged memory's.
    init = jax.vmap(experiment.make_trained_models(config)[0].init, (0, None))
    shapes = jax.eval_shape(init, jax.random.split(jax.random.key(0), config.num_seeds), inputs)
    checkpoints = Checkpoints(workdir)
    found = checkpoints.restore_newest(shapes["params"])
    if found is None:
        raise CheckpointError(f"{workdir}: expected a checkpoint, got none yet")
    history = [line for line in run_dir.read_metrics(workdir) if line["step"] <= found.step]
    members = Members(config, task, history)
    taken = slice(None) if member is None else slice(member, member + 1)
    solved_at = [record.solved_at_step for record in members.records]
    needed = [None if at is None else at * config.batch_size for at in solved_at]
    return Trained(
        **known,
        members=jax.tree.map(lambda leaf: leaf[taken], found.params),
        seeds=members.seeds[taken],
        needed=needed[taken],
        checkpoint=checkpoints.path(found.step),
        remarks=found.remarks,
    )


def load_pretrained(name: str, num_slots: int | None = None) -> Trained:
    """A machine that ships with the package, ready to evaluate.

    Raises:
      ConfigError: no such machine, or one whose files are damaged.
    """
    machine = pretrained.read(name)
    try:
        solved_at = machine.card["training"]["solved_at_step"]
        needed = None if solved_at is None else int(solved_at) * machine.config.batch_size
    except (KeyError, TypeError, ValueError):
        raise configs.ConfigError(
            f"{name}.json: expected a card that says when it was solved, got another; install "
            "ntm_jax again"
        ) from None
    return Trained(
        **_known(machine.config, num_slots),
        members=jax.tree.map(lambda leaf: leaf[None], machine.params),
        seeds=configs.seeds(machine.config),
        needed=[needed],
        checkpoint=Path(str(machine.path)),
    )


def _known(config: ConfigDict, num_slots: int | None) -> dict[str, Any]:
    """The fields of `Trained` that a config tells."""
    return {
        "model": experiment.make_model(config, num_slots),
        "config": config,
        "task": experiment.make_task(config),
        "num_slots": config.model.get("num_slots") if num_slots is None else num_slots,
    }
