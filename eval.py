"""Scores a trained machine by length: python eval.py --lengths 10,20,40,80,120."""

import sys
from pathlib import Path

from absl import app, flags, logging

from ntm_jax import evaluation, parallel, reports, runs
from ntm_jax.checkpoints import CheckpointError
from ntm_jax.config import ConfigError

_LENGTHS = flags.DEFINE_list("lengths", ["10", "20", "40", "80", "120"], "Lengths, by commas.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; the newest under runs/ if not given.")
_SLOTS = flags.DEFINE_integer("slots", None, "Slots of the memory; the run's own if not given.", 1)
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
        workdir = Path(_WORKDIR.value) if _WORKDIR.value else runs.newest_run()
        trained = reports.load_run(workdir, _SLOTS.value)
        print(
            f"{trained.checkpoint}: {trained.task_name}, {trained.model_name}, "
            f"{trained.num_params:,} parameters"
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
        model, params, task = trained.model, trained.params, trained.task
        options = {"num_sequences": _SEQUENCES.value, "seed": _SEED.value}
        results = evaluation.evaluate(model, params, task, lengths, **options)
        print(reports.table(results))
        if _PER_STEP.value:
            for length in lengths:
                accuracy = evaluation.accuracy_by_step(model, params, task, length, **options)
                print(reports.step_table(length, accuracy))
        if _JSON.value:
            runs.write_json(Path(_JSON.value), reports.as_json(trained, results))
            print(f"wrote {_JSON.value}")
        if _PLOTS.value:
            for path in reports.save_plots(trained, lengths, Path(_PLOTS.value), _SEED.value):
                print(f"wrote {path}")
    except (CheckpointError, ConfigError, OSError, runs.RunError) as error:
        sys.exit(f"eval.py: {error}")


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
