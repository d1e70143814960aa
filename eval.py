"""Scores a trained machine by length: python eval.py --lengths 10,20,40,80,120."""

import sys
from pathlib import Path

from absl import app, flags, logging

from ntm_jax import evaluation, parallel, pretrained, reports, runs
from ntm_jax.checkpoints import CheckpointError
from ntm_jax.config import ConfigError

_LENGTHS = flags.DEFINE_list("lengths", ["10", "20", "40", "80", "120"], "Lengths, by commas.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; the newest under runs/ if not given.")
_PRETRAINED = flags.DEFINE_enum(
    "pretrained", None, pretrained.names(), "A machine that ships; copy_ntm where there is no run."
)
_SLOTS = flags.DEFINE_integer("slots", None, "Slots of the memory; the run's own if not given.", 1)
_MEMBER = flags.DEFINE_integer("member", None, "The one to take out of an ensemble.", 0)
_SEQUENCES = flags.DEFINE_integer("sequences", 256, "Sequences of each length.", 1)
_SEED = flags.DEFINE_integer("seed", 1, "Of the sequences.", 0, 2**32 - 1)
_PER_STEP = flags.DEFINE_bool("per_step", False, "Show accuracy by time step and by bit as well.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_PLOTS = flags.DEFINE_string("plots", None, "Folder to draw copies and memory use into.")


def main(argv: list[str]) -> None:
    """Flags in, a table out."""
    if len(argv) > 1:
        sys.exit(f"eval.py: expected flags alone, got {' '.join(argv[1:])}")
    lengths = _lengths(_LENGTHS.value)
    logging.set_verbosity(logging.WARNING)
    parallel.use_all_cores()
    try:
        trained = _load()
        print(
            f"{trained.checkpoint}: {trained.task_name}, {trained.model_name}, "
            f"{trained.num_params:,} parameters"
            + (f", {len(trained.seeds)} seeds" if len(trained.seeds) > 1 else "")
            + (f", {trained.num_slots} slots" if trained.num_slots else "")
        )
        for length in lengths:
            needed = trained.task.min_slots(length)
            if trained.num_slots is not None and needed > trained.num_slots:
                print(
                    f"eval.py: warning: length {length} needs {needed} slots, the memory has "
                    f"{trained.num_slots}; --slots={needed} or more gives it room",
                    file=sys.stderr,
                )
        model, task = trained.model, trained.task
        options = {"num_sequences": _SEQUENCES.value, "seed": _SEED.value}
        results = evaluation.evaluate_members(model, trained.members, task, lengths, **options)
        if len(results) > 1:
            print(reports.members_table(trained, results))
        else:
            print(reports.table(results[0]))
        if len(results) > 1 and (_PER_STEP.value or _PLOTS.value):
            print(f"seed {trained.seeds[0]} alone from here on; --member takes another")
        if _PER_STEP.value:
            for length in lengths:
                accuracy = evaluation.accuracy_by_step(
                    model, trained.params, task, length, **options
                )
                print(reports.step_table(length, accuracy))
        if _JSON.value:
            runs.write_json(Path(_JSON.value), reports.as_json(trained, results))
            print(f"wrote {_JSON.value}")
        if _PLOTS.value:
            for path in reports.save_plots(trained, lengths, Path(_PLOTS.value), _SEED.value):
                print(f"wrote {path}")
    except (CheckpointError, ConfigError, OSError, runs.RunError) as error:
        sys.exit(f"eval.py: {error}")


def _load() -> reports.Trained:
    """What the flags name; else the newest run; else, before anything was trained, what ships."""
    if _PRETRAINED.value:
        return reports.load_pretrained(_PRETRAINED.value, _SLOTS.value)
    if _WORKDIR.value:
        return reports.load_run(Path(_WORKDIR.value), _SLOTS.value, _MEMBER.value)
    try:
        workdir = runs.newest_run()
    except runs.RunError as error:
        print(f"eval.py: {error}\neval.py: here is copy_ntm, pretrained", file=sys.stderr)
        return reports.load_pretrained("copy_ntm", _SLOTS.value)
    return reports.load_run(workdir, _SLOTS.value, _MEMBER.value)


def _lengths(words: list[str]) -> list[int]:
    try:
        lengths = [int(word) for word in words]
    except ValueError:
        lengths = []
    if not lengths or min(lengths) < 1:
        sys.exit(
            f"eval.py: --lengths: expected whole numbers greater than 0, got {','.join(words)!r}"
        )
    return lengths


if __name__ == "__main__":
    app.run(main)
