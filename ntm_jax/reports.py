"""A finished run, loaded and shown: the tables, the JSON and the pictures of `eval.py`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from ntm_jax import build, models, pretrained, runs, success
from ntm_jax import config as configs
from ntm_jax.checkpoints import CheckpointError, Checkpoints
from ntm_jax.evaluation import Accuracy, Result
from ntm_jax.members import Members
from ntm_jax.tasks.copy import Copy

__all__ = [
    "Trained",
    "as_json",
    "load_pretrained",
    "load_run",
    "members_table",
    "save_plots",
    "step_table",
    "table",
]

# The longest sequence whose memory use is drawn: beyond it single steps cannot be told apart.
_DRAWN_LENGTH = 20


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model with what is needed to judge it; an ensemble of them, if there are several.

    Attributes:
      model: from inputs to logits.
      members: its parameters; every leaf has a leading axis E, of the members.
      seeds: of the members.
      needed: sequences that each was trained on until it counted as solved; None if it did not.
      task: what it was trained on.
      task_name: as the config says.
      model_name: as the config says.
      num_slots: slots of its memory, or None for a model without one.
      checkpoint: where the parameters came from.
    """

    model: nn.Module
    members: Any
    seeds: Sequence[int]
    needed: Sequence[int | None]
    task: Copy
    task_name: str
    model_name: str
    num_slots: int | None
    checkpoint: Path

    @property
    def params(self) -> Any:
        """The parameters of the first member."""
        return jax.tree.map(lambda leaf: leaf[0], self.members)

    @property
    def num_params(self) -> int:
        """Number of parameters of one member."""
        return models.num_params(self.params)


def load_run(workdir: Path, num_slots: int | None = None, member: int | None = None) -> Trained:
    """The newest checkpoint of a run folder, ready to evaluate.

    Args:
      workdir: the run folder.
      num_slots: another size of the memory than the run's; parameters do not depend on it.
      member: the only one to take out of an ensemble, counted from 0; None takes all.

    Raises:
      RunError: not a run folder.
      ConfigError: the stored config cannot be run, there is no memory to enlarge, or no such
        member.
      CheckpointError: no checkpoint, or one that cannot be read.
    """
    config = runs.load_config(workdir)
    configs.validate(config)
    if member is not None and not 0 <= member < config.num_seeds:
        raise configs.ConfigError(
            f"member: expected one from 0 to {config.num_seeds - 1}, got {member}"
        )
    known = _known(config, num_slots)
    task = known["task"]
    checkpoints = Checkpoints(workdir)
    step = checkpoints.latest_step()
    if step is None:
        raise CheckpointError(f"{workdir}: expected a checkpoint, got none yet")
    members = Members(config, task.max_length, runs.read_metrics(workdir))
    inputs = jax.ShapeDtypeStruct((1, 1, task.input_features), np.float32)
    # The shapes that were trained: those of learned slots differ from an enlarged memory's.
    init = jax.vmap(build.make_trained_models(config)[0].init, (0, None))
    shapes = jax.eval_shape(init, jax.random.split(jax.random.key(0), len(members)), inputs)
    params, _ = checkpoints.restore(step, shapes["params"])
    taken = slice(None) if member is None else slice(member, member + 1)
    solved_at = [record.solved_at_step for record in members.records]
    needed = [None if at is None else at * config.batch_size for at in solved_at]
    return Trained(
        **known,
        members=jax.tree.map(lambda leaf: leaf[taken], params),
        seeds=members.seeds[taken],
        needed=needed[taken],
        checkpoint=checkpoints.path(step),
    )


def load_pretrained(name: str, num_slots: int | None = None) -> Trained:
    """A machine that ships with the package, ready to evaluate.

    Raises:
      ConfigError: no such machine.
    """
    machine = pretrained.read(name)
    solved_at = machine.card["training"]["solved_at_step"]
    return Trained(
        **_known(machine.config, num_slots),
        members=jax.tree.map(lambda leaf: leaf[None], machine.params),
        seeds=configs.seeds(machine.config),
        needed=[solved_at * machine.config.batch_size],
        checkpoint=Path(str(machine.path)),
    )


def table(results: Sequence[Result]) -> str:
    """The results of one machine as aligned text."""
    lines = [f"{'length':>7}{'bit errors':>13}{'bit accuracy':>15}{'perfect':>10}{'sequences':>12}"]
    lines.append(f"{'':>7}{'per sequence':>13}{'':>15}{'sequences':>10}")
    for result in results:
        lines.append(
            f"{result.length:>7}{result.bit_errors_per_sequence:>13.4g}"
            f"{result.bit_accuracy:>15.4%}{result.perfect_sequences:>10.2%}{result.sequences:>12}"
        )
    return "\n".join(lines)


def members_table(trained: Trained, results: Sequence[Sequence[Result]]) -> str:
    """A line for each member of an ensemble, and how many are solved at these lengths."""
    lengths = [result.length for result in results[0]]
    lines = [
        f"{'seed':>10}{'sequences':>12}  bit errors per sequence at length",
        f"{'':>10}{'to solved':>12}" + "".join(f"{length:>10}" for length in lengths),
    ]
    for seed, needed, of_member in zip(trained.seeds, trained.needed, results, strict=True):
        errors = "".join(f"{result.bit_errors_per_sequence:>10.4g}" for result in of_member)
        lines.append(f"{seed:>10}{'never' if needed is None else format(needed, ','):>12}{errors}")
    medians = np.median([[r.bit_errors_per_sequence for r in one] for one in results], axis=0)
    lines.append(f"{'median':>22}" + "".join(f"{median:>10.4g}" for median in medians))
    solved = sum(_solved(trained, of_member) for of_member in results)
    lines.append(f"solved at these lengths: {success.rate(solved, len(results))}")
    return "\n".join(lines)


def step_table(length: int, accuracy: Accuracy) -> str:
    """Bit accuracy of one length by time step and by bit, as text."""

    def rows(values: np.ndarray) -> str:
        shown = [f"{value:7.2%}" for value in values]
        return "\n".join("  " + " ".join(shown[i : i + 10]) for i in range(0, len(shown), 10))

    return (
        f"length {length}, bit accuracy by time step of the answer:\n{rows(accuracy.by_step)}\n"
        f"length {length}, bit accuracy by bit:\n{rows(accuracy.by_bit)}"
    )


def as_json(trained: Trained, results: Sequence[Sequence[Result]]) -> dict[str, Any]:
    """The results with what they are results of, ready for a file.

    Args:
      trained: the machine, or the ensemble.
      results: of each member.

    Returns:
      "results" is those of the one machine; of an ensemble, "members" has them for each.
    """
    members = [
        {
            "seed": seed,
            "sequences_to_solved": needed,
            "solved": _solved(trained, of_member),
            "results": [result._asdict() for result in of_member],
        }
        for seed, needed, of_member in zip(trained.seeds, trained.needed, results, strict=True)
    ]
    return {
        "task": trained.task_name,
        "model": trained.model_name,
        "num_params": trained.num_params,
        "slots": trained.num_slots,
        "checkpoint": str(trained.checkpoint),
        **({"results": members[0]["results"]} if len(members) == 1 else {"members": members}),
    }


def save_plots(trained: Trained, lengths: Sequence[int], directory: Path, seed: int) -> list[Path]:
    """Draws the paper's figures 4 and 6: copies of each length, and how the memory is used.

    Args:
      trained: the model; of an ensemble its first member is drawn.
      lengths: one copy each.
      directory: made if it is not there.
      seed: of the sequences drawn.

    Returns:
      The files written; a model without a memory has no picture of its use.

    Raises:
      OSError: the folder cannot be written to.
    """
    from ntm_jax import plots  # matplotlib is an extra, and slow to import

    directory.mkdir(parents=True, exist_ok=True)
    of = f"{trained.task_name}, {trained.model_name}"
    examples = {}
    for length in lengths:
        batch = trained.task.sample_length(_drawing_key(seed, length), 1, length)
        logits = trained.model.apply({"params": trained.params}, batch.inputs)
        outputs = jax.nn.sigmoid(logits[0, -length:])
        examples[length] = np.asarray(batch.targets[0, -length:]), np.asarray(outputs)
    figures = {"copies.png": plots.copies(examples, f"Targets and outputs: {of}")}
    if trained.num_slots is not None:
        length = max((n for n in lengths if n <= _DRAWN_LENGTH), default=min(lengths))
        batch = trained.task.sample_length(_drawing_key(seed, length), 1, length)
        logits, step = models.trace(trained.model, trained.params, batch.inputs[0])
        figures["memory_use.png"] = plots.memory_use(
            batch.inputs[0],
            jax.nn.sigmoid(logits),
            step,
            f"Memory use at length {length}: {of}",
            length + 1,
        )
    for name, figure in figures.items():
        figure.savefig(directory / name)
    return [directory / name for name in figures]


def _known(config: ConfigDict, num_slots: int | None) -> dict[str, Any]:
    """The fields of `Trained` that a config tells."""
    return {
        "model": build.make_model(config, num_slots),
        "task": build.make_task(config),
        "task_name": config.task.name,
        "model_name": config.model.name,
        "num_slots": num_slots or config.model.get("num_slots"),
    }


def _solved(trained: Trained, results: Sequence[Result]) -> bool:
    errors = {result.length: result.bit_errors_per_sequence for result in results}
    return success.is_solved(errors, trained.task.max_length)


def _drawing_key(seed: int, length: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), length)
