"""Restores the trained model of a run directory, or of any source that names a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.runtime import files
from ntm_jax.training import model_files, run_dir
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.config import ConfigError
from ntm_jax.training.ensemble import Ensemble
from ntm_jax.training.experiment import Experiment

__all__ = ["load_run", "load_source", "restore_ensemble", "take_params"]

_PRETRAINED = "pretrained:"


def restore_ensemble(
    experiment: Experiment, history: list[dict], path: Path = Path("metrics.jsonl")
) -> Ensemble:
    """Returns the ensemble as it was after the last line of metrics.jsonl.

    Args:
      experiment: the experiment of the run.
      history: the lines.
      path: the file, for the error message.

    Raises:
      RunError: a line is not valid.
    """
    ensemble = experiment.make_ensemble()
    for line in history:
        if line["kind"] == "evaluation" and not experiment.is_evaluated(line["step"]):
            continue  # the last one of a run that trained on since then
        try:
            ensemble.replay(line, experiment.eval_sizes)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise run_dir.RunError(
                f"{path}: expected lines as this version writes them, got another at step "
                f"{line['step']} ({files.one_line(error)}); restore the file, or train again in "
                "another --workdir"
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
      RunError: not a run directory, or its config or metrics are not valid.
      ConfigError: `num_slots` for a model without a memory, or no such member.
      CheckpointError: there is no valid checkpoint, or its parameters are not finite.
    """
    workdir = Path(workdir)
    config = run_dir.load_config(workdir)
    num_members = config["num_seeds"]
    if member is not None and not 0 <= member < num_members:
        raise ConfigError(f"member: expected an index from 0 to {num_members - 1}, got {member}")
    try:
        experiment = Experiment.from_config(config)
    except ConfigError as error:
        raise run_dir.RunError(f"{workdir / 'config.json'}: {error}") from None
    if num_slots is not None:
        experiment = Experiment.from_config(config, num_slots)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((num_members, *leaf.shape), leaf.dtype),
        experiment.param_shapes,
    )
    checkpoints = Checkpoints(workdir)
    checkpoint = checkpoints.restore_latest(shapes)
    if checkpoint is None:
        raise CheckpointError(f"{checkpoints.directory}: expected a checkpoint, got none yet")
    history = [line for line in run_dir.read_metrics(workdir) if line["step"] <= checkpoint.step]
    ensemble = restore_ensemble(experiment, history, workdir / "metrics.jsonl")
    if history:
        run_dir.check_last_step(workdir, history, checkpoint.step)
    solved_at = [tracker.solved_at_step for tracker in ensemble.trackers]
    sequences = [None if step is None else step * config["batch_size"] for step in solved_at]
    kept = slice(None) if member is None else slice(member, member + 1)
    try:
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
    except ValueError as error:  # the parameters are not finite
        path = checkpoints.path(checkpoint.step)
        raise CheckpointError(f"{path}: {error}") from None


def load_source(source: str) -> TrainedModel:
    """Loads a model for `init_from`.

    Args:
      source: a run directory, the path of FILE.npz, or "pretrained:NAME".

    Raises:
      ConfigError: there is no such model, or it cannot be read; the message starts with init_from.
    """
    try:
        if source.startswith(_PRETRAINED) or source.endswith(".npz"):
            return model_files.load_model(source.removeprefix(_PRETRAINED))
        return load_run(Path(source).expanduser())
    except (CheckpointError, ConfigError, OSError, run_dir.RunError) as error:
        raise ConfigError(f"init_from: {error}") from None


def take_params(params: Any, trained: TrainedModel) -> tuple[Any, str]:
    """Replaces parameters by those of the same name and shape in a trained model.

    Args:
      params: parameters with a leading axis E on every leaf.
      trained: one model, for all members, or E of them.

    Returns:
      The parameters, and a line for the log that lists those not replaced.

    Raises:
      ConfigError: another number of members, or less than half of the values fit.
    """
    own = traverse_util.flatten_dict(params, sep="/")
    others = traverse_util.flatten_dict(trained.params, sep="/")
    members, given = (len(next(iter(tree.values()))) for tree in (own, others))
    if given not in (1, members):
        raise ConfigError(f"init_from: expected 1 or {members} seeds, got {given}")

    def describe(tree: Mapping[str, Any], name: str) -> str:
        leaf = tree.get(name)
        return "none" if leaf is None else files.describe_array(leaf.shape[1:], leaf.dtype)

    names = sorted(own.keys() | others.keys())
    other_shape = [name for name in names if describe(own, name) != describe(others, name)]
    lines = [
        f"{name} (expected {describe(own, name)}, got {describe(others, name)})"
        for name in other_shape
    ]
    taken = own.keys() - set(other_shape)
    values = {name: leaf[0].size for name, leaf in own.items()}
    total, num_taken = sum(values.values()), sum(values[name] for name in taken)
    if 2 * num_taken < total:
        expected = f"expected at least half of {total:,} values to fit, got {num_taken:,}"
        raise ConfigError(f"init_from: {expected}: {files.one_line(', '.join(lines))}")
    new = {
        name: np.array(np.broadcast_to(others[name], leaf.shape)) if name in taken else leaf
        for name, leaf in own.items()
    }
    sentence = f"took {num_taken:,} of {total:,} parameters from {trained.checkpoint}"
    if lines:
        sentence += f"; not taken: {', '.join(lines)}"
    return traverse_util.unflatten_dict(new, sep="/"), sentence
