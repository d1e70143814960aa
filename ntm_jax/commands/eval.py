"""Evaluates a trained model on fresh sequences of given sizes, and prints a table of the results.

    python eval.py                                           # the newest run under runs/
    python eval.py --workdir=runs/copy_ntm --lengths=10,20,40,80,120
    python eval.py --pretrained=copy_ntm --lengths=300 --slots=512 --plots=plots
    python eval.py --workdir=runs/copy_ntm --export=copy.npz    # the model in one file
    python eval.py --workdir=runs/copy_ntm --data=mine.npz --plots=plots    # sequences of a file

If a task has several size axes, all combinations are evaluated.
"""

import dataclasses
import functools
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging

from ntm_jax import evaluation
from ntm_jax.evaluation import TrainedModel, page, tables, traces
from ntm_jax.evaluation.scoring import Result
from ntm_jax.models import NTM
from ntm_jax.pretrained import list_pretrained, load_model
from ntm_jax.runtime import (
    command_line,
    compilation_cache,
    distributed,
    provenance,
    sharding,
)
from ntm_jax.tasks import TASKS, Task
from ntm_jax.tasks.base import Size, describe_size, parse_size
from ntm_jax.tasks.sequences import ScoredSequences
from ntm_jax.training import model_files
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
_SIZE_LIST = flags.DEFINE_list(
    "sizes",
    None,
    "Comma-separated sizes of a task of any size axes, such as 10,20, or 10x5,20x5 for two axes.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run directory that train.py wrote. Default: the newest one under runs/."
)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "Evaluate on the sequences of this .npz file in place of sampled ones: inputs [S, T, I], "
    "targets [S, T, O] and mask [S, T].",
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained",
    None,
    "Evaluate a model that comes with the package, instead of a run, or one of --export: FILE.npz, "
    f"or one of {', '.join(list_pretrained())}. Without this flag, copy_ntm is evaluated if there "
    "is no run under runs/.",
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
_JSON = flags.DEFINE_string(
    "json",
    None,
    "Write the results to this file, as JSON; - writes them to standard output, and the rest to "
    "standard error.",
)
_EXPORT = flags.DEFINE_string(
    "export",
    None,
    "Write the model to this .npz file, and a model card with its config and these results to a "
    ".json file beside it. --pretrained, load_pretrained and train.py --init_from read it.",
)
_TRACE = flags.DEFINE_string(
    "trace",
    None,
    "Write the memory access of an NTM in one sequence to this .npz file: head parameters, "
    "weightings, memory and an analysis of the heads, at the largest size of at most 60 steps, or "
    "else at the smallest size.",
)
_HTML = flags.DEFINE_string(
    "html",
    None,
    "Write a page to this file that runs an NTM in the browser, step by step, on a sequence that "
    "can be edited.",
)
_ANIMATE = flags.DEFINE_string(
    "animate",
    None,
    "Write an animated GIF to this file: an NTM in one sequence, of the same size as for --trace.",
)
_ANIMATE_TRAINING = flags.DEFINE_string(
    "animate_training",
    None,
    "Write an animated GIF to this file: the memory access in one sequence during training, for a "
    "run of train.py --trace_every_evals.",
)
_PLOTS = flags.DEFINE_string(
    "plots",
    None,
    "Write plots to this directory: NAME_predictions.png (figure 4 of the paper) and, for an NTM, "
    "NAME_memory_access.png (figure 6), NAME_heads.png and NAME_memory.png, and NAME_training.png "
    "for a run of train.py --trace_every_evals.",
)
_TRACE_FLAGS = (_TRACE, _HTML, _ANIMATE, _ANIMATE_TRAINING)


def main(_: object) -> None:
    """Evaluates the model that the flags select, and prints its results."""
    logging.set_verbosity(logging.WARNING)
    outputs = _output_paths()
    compilation_cache.enable_compilation_cache()
    compilation_cache.set_fast_compile_flags()
    sharding.use_all_cores()
    try:
        sizes = {axis: _integers(flag) for axis, flag in _SIZES.items() if flag.value is not None}
        distributed.check_devices()
        trained = _with_data(_restore())
        _check_traces(trained)
        if _EXPORT.value is not None and len(trained.seeds) > 1:
            expected = f"one of the {len(trained.seeds)} members, selected by --member"
            raise ConfigError(f"export: expected {expected}, got all")
        _evaluate(trained, _eval_sizes(trained, sizes), outputs)
    except ConfigError as error:
        key, _, message = str(error).partition(": ")
        flag = key.removeprefix("eval_")
        command_line.fail(f"--{flag}: {message}" if flag in flags.FLAGS else error)
    except (CheckpointError, OSError, RunError, distributed.DistributedError) as error:
        command_line.fail(error)


def _output_paths() -> dict[str, Path]:
    """Returns the paths to write to, by flag, after checking that they can be written to."""
    paths = {}
    for flag in (_JSON, _EXPORT, *_TRACE_FLAGS):
        if flag.value is None or (flag is _JSON and flag.value == "-"):
            continue
        path = paths[flag.name] = command_line.local_path(flag.name, flag.value)
        if path.exists() and not path.is_file():
            expected = "a file, or - to print it" if flag is _JSON else "a file"
            command_line.fail(f"--{flag.name}: expected {expected}, got {path}")
        if not path.parent.is_dir():
            command_line.fail(f"--{flag.name}: no such directory: {path.parent}")
        if flag is _EXPORT and path.suffix != ".npz":
            command_line.fail(f"--export: expected a name that ends in .npz, got {path.name}")
    if _PLOTS.value is not None:
        path = paths["plots"] = command_line.local_path("plots", _PLOTS.value)
        if not next(p for p in (path, *path.parents) if p.exists()).is_dir():
            command_line.fail(f"--plots: expected a directory, got {path}")
    if importlib.util.find_spec("matplotlib") is None:
        for flag in (_ANIMATE, _ANIMATE_TRAINING, _PLOTS):
            if flag.name in paths:
                line = "expected matplotlib, got none; pip install matplotlib"
                command_line.fail(f"--{flag.name}: {line}")
    return paths


def _check_traces(trained: TrainedModel) -> None:
    """Checks that the model has what the flags ask for."""
    for flag in _TRACE_FLAGS:
        if flag.value is not None and not isinstance(trained.model, NTM):
            name = trained.config["model"]["name"]
            raise ConfigError(f"{flag.name}: expected a model with a memory, got {name}")
    try:
        if _ANIMATE_TRAINING.value is not None and not traces.load_training(trained)[0]:
            expected = "the first member of a run of train.py --trace_every_evals"
            raise ValueError(f"expected {expected}, got {trained.checkpoint}")
    except ValueError as error:
        raise ConfigError(f"animate_training: {error}") from error


def _evaluate(trained: TrainedModel, sizes: Sequence[Size], outputs: dict[str, Path]) -> None:
    """Writes and prints what the flags ask for."""
    slot_warnings = [f"{warning}; use --slots" for warning in trained.slot_warnings(sizes)]
    for warning in (*trained.warnings, *slot_warnings):
        print(f"{command_line.script_name()}: warning: {warning}", file=sys.stderr)
    show = functools.partial(print, file=sys.stderr if _JSON.value == "-" else sys.stdout)
    show(tables.describe(trained))
    results = _score(trained, sizes)

    @functools.cache
    def document() -> dict[str, Any]:
        origin = {"seed": _SEED.value, **provenance.provenance()}
        return origin | tables.as_json(trained, results)

    lines = []
    try:  # files first: printing may fail
        for path in _write_files(trained, sizes, document, outputs):
            lines.append(f"wrote {path}")
    finally:
        if _JSON.value == "-":
            print(json.dumps(document(), indent=2), flush=True)
        _show_tables(trained, sizes, results, show)
        for line in lines:
            show(line)


def _write_files(
    trained: TrainedModel,
    sizes: Sequence[Size],
    document: Callable[[], dict[str, Any]],
    outputs: dict[str, Path],
) -> Iterator[Path]:
    """Writes the files that the flags ask for, and yields the path of each."""
    size, seed = traces.traced_size(trained.task, sizes), _SEED.value

    @functools.cache
    def example() -> traces.ExampleTrace:
        model, params = trained.model, trained.first_params
        assert isinstance(model, NTM)  # `_check_traces` has checked it
        return traces.trace_example(model, params, trained.task, size, seed)

    def animate(path: Path) -> None:
        from ntm_jax.evaluation import animation  # matplotlib is an extra, and slow to import

        title = f"{trained.name}: {describe_size(trained.task, size)}"
        animation.save_animation(example(), path, title)

    def animate_training(path: Path) -> None:
        from ntm_jax.evaluation import animation

        examples, _ = traces.load_training(trained)
        animation.save_training_animation(examples, path, f"Training: {trained.name}")

    writers: dict[str, Callable[[Path], None]] = {
        "json": lambda path: write_json(path, document()),
        "export": lambda path: model_files.export(trained, path, document()),
        "trace": lambda path: traces.save_trace(example(), path),
        "animate": animate,
        "animate_training": animate_training,
        "html": lambda path: page.write_page(trained, size, path, seed),
    }
    try:
        for flag, write in writers.items():
            if flag in outputs:
                write(outputs[flag])
                yield outputs[flag]
        if "plots" in outputs:
            from ntm_jax.evaluation import plots

            flag = "plots"
            yield from plots.save_plots(trained, sizes, outputs["plots"], seed)
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error


def _score(trained: TrainedModel, sizes: Sequence[Size]) -> list[list[Result]]:
    """Returns the results of each member by size; a terminal shows the progress."""
    shown = sys.stderr.isatty()
    by_size = []
    try:
        for number, size in enumerate(sizes, start=1):
            if shown:
                text = f"{describe_size(trained.task, size)} ({number} of {len(sizes)})"
                print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            by_size.append(_score_size(trained, size))
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    return [[result for (result,) in member] for member in zip(*by_size, strict=True)]


def _score_size(trained: TrainedModel, size: Size) -> list[list[Result]]:
    """Returns for each member its result at one size, or of the sequences of --data."""
    model, task = trained.model, trained.task
    if isinstance(task, ScoredSequences):
        members = [
            jax.tree.map(lambda leaf, i=index: leaf[i], trained.params)
            for index in range(len(trained.seeds))
        ]
        return [[evaluation.evaluate_batch(model, p, task.scored_as, task.batch)] for p in members]
    return evaluation.evaluate_members(model, trained.params, task, [size], **_options())


def _show_tables(
    trained: TrainedModel,
    sizes: Sequence[Size],
    results: Sequence[Sequence[Result]],
    show: Callable[[str], None],
) -> None:
    """Prints the tables of the results, and with --per_step those of the bit accuracy."""
    if len(results) == 1:
        show(tables.results_table(trained.task, results[0]))
    else:
        show(tables.ensemble_table(trained, results))
        if _PER_STEP.value or _PLOTS.value:
            show(f"the following is for seed {trained.seeds[0]}; --member selects another")
    if _PER_STEP.value:
        model, params, task = trained.model, trained.first_params, trained.task
        for size in sizes:
            accuracy = evaluation.accuracy_by_step(model, params, task, size, **_options())
            show(tables.accuracy_table(task, size, accuracy))


def _options() -> dict[str, int]:
    return {"num_sequences": _SEQUENCES.value, "seed": _SEED.value}


def _restore() -> TrainedModel:
    """Restores the run or pretrained model that the flags select."""
    if _PRETRAINED.value:
        for flag in (_WORKDIR, _MEMBER):
            if flag.value is not None:
                raise ConfigError(f"{flag.name}: cannot be combined with --pretrained")
        try:
            return load_model(_PRETRAINED.value, _SLOTS.value)
        except ConfigError as error:
            key, _, message = str(error).partition(": ")
            raise ConfigError(f"pretrained: {message}" if key == "name" else error) from None
    try:
        given = _WORKDIR.value
        workdir = latest_run() if given is None else command_line.local_path("workdir", given)
    except RunError as error:
        if _MEMBER.value is not None:
            raise
        print(
            f"{command_line.script_name()}: {error}; evaluating the pretrained copy_ntm",
            file=sys.stderr,
        )
        return load_model("copy_ntm", _SLOTS.value)
    return load_run(workdir, _SLOTS.value, _MEMBER.value)


def _with_data(trained: TrainedModel) -> TrainedModel:
    """Returns the model with the sequences of --data as its task, if there is such a file."""
    if _DATA.value is None:
        return trained
    for flag in (_SIZE_LIST, _PER_STEP, *_SIZES.values()):
        if flag.value:
            raise ConfigError(f"{flag.name}: cannot be combined with --data")
    try:
        path = str(command_line.local_path("data", _DATA.value))
        task = ScoredSequences(path, trained.task)
    except ValueError as error:
        raise ConfigError(f"data: {str(error).removeprefix('task.path: ')}") from None
    return dataclasses.replace(trained, task=task)


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
    if isinstance(trained.task, ScoredSequences):
        return [()]
    for axis in given.keys() - trained.task.size_axes.keys():
        valid = ", ".join(f"--{plural(axis)}" for axis in trained.task.size_axes)
        task_name = trained.config["task"]["name"]
        raise ConfigError(f"{plural(axis)}: not a size axis of {task_name}; use {valid}")
    config = dict(trained.config) | {eval_key(axis): values for axis, values in given.items()}
    experiment = Experiment.from_config(config, trained.num_slots)
    sizes = _size_list(trained.task) or experiment.eval_sizes
    experiment.check_evaluation_memory(sizes, len(trained.seeds))
    return sizes


def _size_list(task: Task) -> Sequence[Size]:
    """Returns the sizes of --sizes, none without it."""
    texts = _SIZE_LIST.value or ()
    for axis, flag in _SIZES.items():
        if texts and flag.value is not None:
            raise ConfigError(f"sizes: cannot be combined with --{plural(axis)}")
    try:
        sizes = [*map(parse_size, texts)]
    except ValueError:
        given = truncate_repr(",".join(texts))
        raise ConfigError(f"sizes: expected numbers such as 10,20 or 10x5, got {given}") from None
    for size in sizes:
        try:
            task.check_size(*size)
        except ValueError as error:
            raise ConfigError(f"sizes: {error}") from None
    return sizes


def run() -> None:
    """Runs the command."""
    command_line.run(main, command_line.parse_flags, __name__)
