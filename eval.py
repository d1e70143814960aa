"""Scores a trained machine by size of its task: python eval.py --lengths 10,20,40,80,120."""

import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict

from ntm_jax import pretrained
from ntm_jax.evaluation import scoring, tables
from ntm_jax.runtime import compilation_cache, sharding, memory_estimate
from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import CheckpointError
from ntm_jax.training.config import ConfigError, eval_name, eval_sizes, plural
from ntm_jax.training.rules import most
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size, describe
from ntm_jax.training.restore import Trained, load_pretrained, load_run

_AXES = {
    axis: flags.DEFINE_list(plural(axis), None, "Numbers, by commas; the run's own if not given.")
    for axis in sorted({axis for task in TASKS.values() for axis in task.axes})
}
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; the newest under runs/ if not given.")
_PRETRAINED = flags.DEFINE_enum(
    "pretrained", None, pretrained.names(), "A machine that ships; copy_ntm where there is no run."
)
_SLOTS = flags.DEFINE_integer(
    "slots", None, "Slots of the memory; the run's own if none.", 1, most("model.num_slots")
)
_MEMBER = flags.DEFINE_integer("member", None, "The one to take out of an ensemble.", 0)
_SEQUENCES = flags.DEFINE_integer(
    "sequences", 256, "Sequences of each size.", 1, most("eval_sequences")
)
_SEED = flags.DEFINE_integer("seed", 1, "Of the sequences.", 0, 2**32 - 1)
_PER_STEP = flags.DEFINE_bool("per_step", False, "Show accuracy by time step and by bit as well.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_PLOTS = flags.DEFINE_string("plots", None, "Folder to draw answers and memory use into.")


def main(argv: list[str]) -> None:
    """Flags in, a table out."""
    if len(argv) > 1:
        sys.exit(f"eval.py: expected flags alone, got {' '.join(argv[1:])}")
    numbers = {axis: _numbers(axis, f.value) for axis, f in _AXES.items() if f.value is not None}
    logging.set_verbosity(logging.WARNING)
    compilation_cache.use_cache()
    compilation_cache.use_quick_compiler()
    sharding.use_all_cores()
    try:
        trained = _load()
        for remark in trained.remarks:
            print(f"eval.py: {remark}", file=sys.stderr)
        model, task = trained.model, trained.task
        sizes = _sizes(trained, numbers)
        print(
            f"{trained.checkpoint}: {trained.config.task.name}, {trained.config.model.name}, "
            f"{trained.num_params:,} parameters"
            + (f", {len(trained.seeds)} seeds" if len(trained.seeds) > 1 else "")
            + (f", {trained.num_slots} slots" if trained.num_slots else "")
        )
        for size in sizes:
            needed = task.min_slots(*size)
            if trained.num_slots is not None and needed > trained.num_slots:
                print(
                    f"eval.py: warning: {describe(task, size)} needs {needed} slots, the memory "
                    f"has {trained.num_slots}; --slots={needed} or more gives it room",
                    file=sys.stderr,
                )
        options = {"num_sequences": _SEQUENCES.value, "seed": _SEED.value}
        results = scoring.evaluate_members(model, trained.members, task, sizes, **options)
        if len(results) > 1:
            print(tables.members_table(trained, results))
        else:
            print(tables.table(task, results[0]))
        if len(results) > 1 and (_PER_STEP.value or _PLOTS.value):
            print(f"seed {trained.seeds[0]} alone from here on; --member takes another")
        if _PER_STEP.value:
            for size in sizes:
                accuracy = scoring.accuracy_by_step(model, trained.params, task, size, **options)
                print(tables.step_table(describe(task, size), accuracy))
        if _JSON.value:
            run_dir.write_json(Path(_JSON.value), tables.as_json(trained, results))
            print(f"wrote {_JSON.value}")
        if _PLOTS.value:
            for path in tables.save_plots(trained, sizes, Path(_PLOTS.value), _SEED.value):
                print(f"wrote {path}")
    except (CheckpointError, ConfigError, OSError, run_dir.RunError) as error:
        sys.exit(f"eval.py: {error}")


def _load() -> Trained:
    """What the flags name; else the newest run; else, before anything was trained, what ships."""
    if _PRETRAINED.value:
        for flag in (_WORKDIR, _MEMBER):
            if flag.value is not None:
                sys.exit(
                    f"eval.py: --{flag.name}: expected none beside --pretrained, got {flag.value}"
                )
        return load_pretrained(_PRETRAINED.value, _SLOTS.value)
    if _WORKDIR.value is not None:
        return load_run(Path(_WORKDIR.value), _SLOTS.value, _MEMBER.value)
    try:
        workdir = run_dir.newest_run()
    except run_dir.RunError as error:
        if _MEMBER.value is not None:
            raise
        print(f"eval.py: {error}\neval.py: here is copy_ntm, pretrained", file=sys.stderr)
        return load_pretrained("copy_ntm", _SLOTS.value)
    return load_run(workdir, _SLOTS.value, _MEMBER.value)


def _sizes(trained: Trained, numbers: dict[str, tuple[int, ...]]) -> list[Size]:
    """Those of these numbers, or of the run's own where an axis has none."""
    for axis in numbers.keys() - trained.task.axes.keys():
        there = ", ".join(f"--{plural(axis)}" for axis in trained.task.axes)
        sys.exit(
            f"eval.py: --{plural(axis)}: {trained.config.task.name} has no such size; there is "
            f"{there}"
        )
    config = ConfigDict(trained.config)
    config.update({eval_name(axis): chosen for axis, chosen in numbers.items()})
    sizes = eval_sizes(config)
    try:
        for size in sizes:
            trained.task.check_size(*size)
    except ValueError as error:
        sys.exit(f"eval.py: {error}")
    if trained.num_slots is not None:
        config.model.num_slots = trained.num_slots
    memory_estimate.check_evaluation(config, trained.task, trained.model, sizes, len(trained.seeds))
    return sizes


def _numbers(axis: str, words: list[str]) -> tuple[int, ...]:
    try:
        numbers = tuple(map(int, words))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        sys.exit(
            f"eval.py: --{plural(axis)}: expected whole numbers greater than 0, "
            f"got {','.join(words)!r}"
        )
    largest = most(eval_name(axis))
    if max(numbers) > largest:
        sys.exit(f"eval.py: --{plural(axis)}: expected at most {largest}, got {max(numbers)}")
    return numbers


if __name__ == "__main__":
    app.run(main)
