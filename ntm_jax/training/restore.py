"""Restores the trained model of a run directory for evaluation."""

from pathlib import Path

import jax
import numpy as np

from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.config import ConfigError
from ntm_jax.training.ensemble import Ensemble
from ntm_jax.training.experiment import Experiment

__all__ = ["load_run", "restore_ensemble"]


def restore_ensemble(experiment: Experiment, history: list[dict]) -> Ensemble:
    """Returns the ensemble as it was after the last line of metrics.jsonl.

    Raises:
      RunError: a line is not valid.
    """
    ensemble = experiment.make_ensemble()
    try:
        ensemble.replay(history)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise run_dir.RunError(
            f"metrics.jsonl: expected lines as this version writes them, got another ({error!r}); "
            "restore the file, or train again in another --workdir"
        ) from None
    return ensemble


def load_run(
    workdir: Path, num_slots: int | None = None, member: int | None = None
) -> TrainedModel:
    """Restores the newest checkpoint of a run.

    Args:
      workdir: the run directory.
      num_slots: memory slots, in place of the config's; parameters do not depend on it.
      member: index of the only ensemble member to restore; None restores all.

    Raises:
      RunError: not a run directory, or its config is not valid.
      ConfigError: `num_slots` for a model without a memory, or no such member.
      CheckpointError: there is no valid checkpoint.
    """
    workdir = Path(workdir)
    config = run_dir.load_config(workdir)
    num_members = config["num_seeds"]
    if member is not None and not 0 <= member < num_members:
        raise ConfigError(f"member: expected an index from 0 to {num_members - 1}, got {member}")
    experiment = Experiment.from_config(config, num_slots)
    # The shapes of the training models: learned initial memories depend on the number of slots.
    init = jax.vmap(experiment.train_models[0].init, (0, None))
    inputs = jax.ShapeDtypeStruct((1, 1, experiment.task.input_features), np.float32)
    shapes = jax.eval_shape(init, jax.random.split(jax.random.key(0), num_members), inputs)
    checkpoints = Checkpoints(workdir)
    checkpoint = checkpoints.restore_latest(shapes["params"])
    if checkpoint is None:
        raise CheckpointError(f"{workdir}: expected a checkpoint, got none yet")
    history = [line for line in run_dir.read_metrics(workdir) if line["step"] <= checkpoint.step]
    ensemble = restore_ensemble(experiment, history)
    solved_at = [tracker.solved_at_step for tracker in ensemble.trackers]
    sequences = [None if step is None else step * config["batch_size"] for step in solved_at]
    kept = slice(None) if member is None else slice(member, member + 1)
    return TrainedModel(
        model=experiment.model,
        params=jax.tree.map(lambda leaf: leaf[kept], checkpoint.params),
        task=experiment.task,
        config=config,
        seeds=ensemble.seeds[kept],
        sequences_to_solve=sequences[kept],
        num_slots=experiment.num_slots,
        checkpoint=str(checkpoints.path(checkpoint.step)),
        warnings=checkpoint.warnings,
    )
