"""Evaluates a trained model on fresh sequences of given sizes, and prints a table of the results.

    python eval.py                                           # the newest run under runs/
    python eval.py --workdir=runs/copy_ntm --lengths=10,20,40,80,120
    python eval.py --pretrained=copy_ntm --lengths=300 --slots=512 --plots=plots

If a task has several size axes, all combinations are evaluated.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging

from ntm_jax import evaluation
from ntm_jax.evaluation import TrainedModel, tables
from ntm_jax.pretrained import list_pretrained, restore_pretrained
from ntm_jax.runtime import compilation_cache, sharding
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size, describe_size
from ntm_jax.training.checkpoints import CheckpointError
from ntm_jax.training.config import ConfigError, eval_key, plural, truncate_repr
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.restore import load_run
from ntm_jax.training.run_dir import RunError, latest_run, write_json
from ntm_jax.training.validation import max_value

_AXES = {
    "length": "sequence lengths",
    "repeats": "numbers of repeats",
    "items": "numbers of items in a list",
    "count": "numbers of vectors to sort",
}
_SIZES = {
    axis: flags.DEFINE_list(
        plural(axis),
        None,
        f"Comma-separated {meaning}. Tasks: "
        f"{', '.join(name for name, task in TASKS.items() if axis in task.size_axes)}. "
        f"Default: {eval_key(axis)} of the training config.",
    )
    for axis, meaning in _AXES.items()
}
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run directory that train.py wrote. Default: the newest one under runs/."
)
_PRETRAINED = flags.DEFINE_enum(
    "pretrained",
    None,
    list_pretrained(),
    "Evaluate a pretrained model that comes with the package, instead of a run. Without this flag, "
    "copy_ntm is evaluated if there is no run under runs/.",
)
_SLOTS = flags.DEFINE_integer(
    "slots",
    None,
    "Number of memory slots. The parameters do not depend on it; longer sequences need more slots. "
    "Default: num_slots of the training config.",
    1,
    max_value("model.num_slots"),
)
_MEMBER = flags.DEFINE_integer(
    "member", None, "Index of the only ensemble member to evaluate, from 0. Default: all.", 0
)
_SEQUENCES = flags.DEFINE_integer(
    "sequences", 256, "Number of sequences per size.", 1, max_value("num_eval_sequences")
)
_SEED = flags.DEFINE_integer("seed", 1, "Random seed of the sequences.", 0, 2**32 - 1)
_PER_STEP = flags.DEFINE_bool(
    "per_step", False, "Also print the bit accuracy by time step and by bit."
)
_JSON = flags.DEFINE_string("json", None, "Write the results to this file, as JSON.")
_PLOTS = flags.DEFINE_string(
    "plots",
    None,
    "Write plots to this directory: predictions.png (figure 4 of the paper) and, for an NTM, "
    "memory_access.png (figure 6).",
)


def main(argv: list[str]) -> None:
    """Evaluates the model that the flags select, and prints its results."""
    logging.set_verbosity(logging.WARNING)
    compilation_cache.enable_compilation_cache()
    compilation_cache.set_fast_compile_flags()
    sharding.use_all_cores()
    try:
        if len(argv) > 1:
            raise ConfigError(f"expected only flags, got {' '.join(argv[1:])}")
        sizes = {axis: _integers(flag) for axis, flag in _SIZES.items() if flag.value is not None}
        trained = _restore()
        _evaluate(trained, _eval_sizes(trained, sizes))
    except ConfigError as error:
        key, _, message = str(error).partition(": ")
        flag = key.removeprefix("eval_")
        sys.exit(f"eval.py: {f'--{flag}: {message}' if flag in flags.FLAGS else error}")
    except (CheckpointError, OSError, RunError) as error:
        sys.exit(f"eval.py: {error}")


def _evaluate(trained: TrainedModel, sizes: Sequence[Size]) -> None:
    """Prints and writes what the flags ask for."""
    slot_warnings = [f"{warning}; use --slots" for warning in trained.slot_warnings(sizes)]
    for warning in (*trained.warnings, *slot_warnings):
        print(f"eval.py: warning: {warning}", file=sys.stderr)
    print(tables.describe(trained))
    task, model = trained.task, trained.model
    options = {"num_sequences": _SEQUENCES.value, "seed": _SEED.value}
    results = evaluation.evaluate_members(model, trained.params, task, sizes, **options)
    if len(results) == 1:
        print(tables.results_table(task, results[0]))
    else:
        print(tables.ensemble_table(trained, results))
        if _PER_STEP.value or _PLOTS.value:
            print(f"the following is for seed {trained.seeds[0]}; --member selects another")
    if _PER_STEP.value:
        params = trained.first_params
        for size in sizes:
            accuracy = evaluation.accuracy_by_step(model, params, task, size, **options)
            print(tables.accuracy_table(describe_size(task, size), accuracy))
    if _JSON.value:
        write_json(Path(_JSON.value), tables.as_json(trained, results))
        print(f"wrote {_JSON.value}")
    if _PLOTS.value:
        from ntm_jax.evaluation import plots  # matplotlib is an extra, and slow to import

        for path in plots.save_plots(trained, sizes, Path(_PLOTS.value), _SEED.value):
            print(f"wrote {path}")


def _restore() -> TrainedModel:
    """Restores the run or pretrained model that the flags select."""
    if _PRETRAINED.value:
        for flag in (_WORKDIR, _MEMBER):
            if flag.value is not None:
                raise ConfigError(f"{flag.name}: cannot be combined with --pretrained")
        return restore_pretrained(_PRETRAINED.value, _SLOTS.value)
    try:
        workdir = Path(_WORKDIR.value) if _WORKDIR.value is not None else latest_run()
    except RunError as error:
        if _MEMBER.value is not None:
            raise
        print(f"eval.py: {error}; evaluating the pretrained copy_ntm", file=sys.stderr)
        return restore_pretrained("copy_ntm", _SLOTS.value)
    return load_run(workdir, _SLOTS.value, _MEMBER.value)


def _integers(flag: flags.FlagHolder) -> tuple[int, ...]:
    try:
        values = tuple(map(int, flag.value))
        if min(values) > 0:
            return values
    except ValueError:  # not integers, or none
        pass
    given = truncate_repr(",".join(flag.value))
    raise ConfigError(f"{flag.name}: expected comma-separated positive integers, got {given}")


def _eval_sizes(trained: TrainedModel, given: dict[str, tuple[int, ...]]) -> Sequence[Size]:
    """Returns the sizes to evaluate, after checking that the task has them and they fit in memory.

    Args:
      trained: the model.
      given: the values of some size axes; the training config has those of the others.
    """
    for axis in given.keys() - trained.task.size_axes.keys():
        valid = ", ".join(f"--{plural(axis)}" for axis in trained.task.size_axes)
        task_name = trained.config["task"]["name"]
        raise ConfigError(f"{plural(axis)}: not a size axis of {task_name}; use {valid}")
    config = dict(trained.config) | {eval_key(axis): values for axis, values in given.items()}
    experiment = Experiment.from_config(config, trained.num_slots)
    experiment.check_evaluation_memory(experiment.eval_sizes, len(trained.seeds))
    return experiment.eval_sizes


if __name__ == "__main__":
    app.run(main)
