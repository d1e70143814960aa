"""Compares runs: settings that differ, training sequences until solved, errors, wall time.

    python compare.py runs/*
    python compare.py runs/* --format=markdown --plot=curves.png

A row per run; medians over the seeds of an ensemble. A figure of learning curves has the median of
the task's metric at the largest training size, and the range over seeds.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from ntm_jax.evaluation.tables import align, describe_metric
from ntm_jax.runtime import command_line
from ntm_jax.runtime.files import write_file
from ntm_jax.tasks.base import Size, describe_size, format_size, parse_size
from ntm_jax.training.config import ConfigError, flatten
from ntm_jax.training.ensemble import Ensemble, member_values
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.restore import restore_ensemble
from ntm_jax.training.run_dir import RunError, load_config, read_metrics

_FORMAT = flags.DEFINE_enum("format", "text", ["text", "csv", "markdown"], "Format of the table.")
_PLOT = flags.DEFINE_string(
    "plot", None, "Draw the learning curves to this file: .png, .pdf or .svg."
)


def main(argv: Sequence[str]) -> None:
    """Prints the table of the runs, and draws their learning curves."""
    if not argv:
        command_line.fail("expected run directories, such as runs/*, got none")
    try:
        runs = [_Run(command_line.local_path("RUN_DIR", text)) for text in argv]
        if _PLOT.value is not None:
            _plot(runs, command_line.local_path("plot", _PLOT.value))
    except ImportError:
        command_line.fail("--plot: expected matplotlib, got none; pip install matplotlib")
    except (ConfigError, OSError, RunError) as error:
        command_line.fail(error)
    except ValueError as error:  # matplotlib knows no such format
        command_line.fail(f"--plot: {error}")
    print(format_table(compare(runs), _FORMAT.value), end="")


class _Run:
    """The config, the metrics and the members of a run.

    Raises:
      RunError: not a run directory, or a file in it is not valid.
    """

    def __init__(self, workdir: Path) -> None:
        self.name, self.config = str(workdir), load_config(workdir)
        experiment = Experiment.from_config(self.config)
        self.task, self.lines = experiment.task, read_metrics(workdir)
        path = workdir / "metrics.jsonl"
        self.ensemble: Ensemble = restore_ensemble(experiment, self.lines, path)

    def curve(self) -> tuple[Size, list[int], np.ndarray]:
        """Returns a size, the training sequences before each evaluation [U], and errors [U, E].

        The size is the largest one that is evaluated and in the range of the training.
        """
        lines = [line for line in self.lines if line["kind"] == "evaluation"]
        by_size = [line[self.task.metric] for line in lines]
        sizes = [parse_size(text) for text in by_size[0]] if lines else [self.task.max_train_size]
        trained = [size for size in sizes if self.task.is_in_distribution(size)]
        size = max(trained or sizes)
        errors = [member_values(values[format_size(size)]) for values in by_size]
        return size, [line["sequences"] for line in lines], np.array(errors, float)


def compare(runs: Sequence[_Run]) -> list[dict[str, Any]]:
    """Returns a row per run: columns by name, first of all the settings that differ."""
    configs = [flatten(run.config) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    differing = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    rows = []
    for run, config in zip(runs, configs, strict=True):
        members = run.ensemble.trackers
        solved = [t.solved_at_step for t in members if t.solved_at_step is not None]
        sequences = [step * run.config["batch_size"] for step in solved]
        metric, _ = describe_metric(run.task.metric)
        errors = {
            f"{metric} {format_size(size)}": float(np.median([t.errors[size] for t in members]))
            for size in members[0].errors
        }
        last = run.lines[-1] if run.lines else {"step": 0, "seconds": 0.0}
        rows.append(
            {
                "run": run.name,
                **{key: config.get(key) for key in differing},
                "step": last["step"],
                "solved": f"{len(solved)} of {len(members)}",
                "sequences until solved": float(np.median(sequences)) if sequences else None,
                **errors,
                "wall time (s)": last.get("seconds"),
            }
        )
    columns = dict.fromkeys(name for row in rows for name in row if name != "wall time (s)")
    return [{name: row.get(name) for name in (*columns, "wall time (s)")} for row in rows]


def format_table(rows: Sequence[Mapping[str, Any]], style: str) -> str:
    """Returns the rows as "text", "csv" or "markdown"."""
    if style == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([[*rows[0]], *(row.values() for row in rows)])
        return file.getvalue()
    cells = [[*rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    if style == "text":
        return align(cells) + "\n"
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines.insert(1, f"| {' | '.join('---' for _ in cells[0])} |")
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _plot(runs: Sequence[_Run], path: Path) -> None:
    """Draws the learning curves over each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, run in enumerate(runs):
        size, sequences, errors = run.curve()
        style = ("-", "--", ":", "-.")[number // 10 % 4]  # matplotlib has ten colors
        label = f"{run.name} ({describe_size(run.task, size)})"
        (line,) = axes.plot([], [], style, label=label)
        if sequences:
            line.set_data(sequences, np.median(errors, axis=1))
            low, high = errors.min(axis=1), errors.max(axis=1)
            axes.fill_between(sequences, low, high, alpha=0.15, color=line.get_color())
    axes.relim()
    axes.autoscale_view()
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=0)
    metrics = dict.fromkeys(run.task.metric.replace("_", " ") for run in runs)
    axes.set_ylabel(" or ".join(metrics))
    axes.set_xlabel("training sequences")
    axes.legend(frameon=False, fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.removeprefix("."), dpi=150)
    write_file(path, buffer.getvalue())


def run() -> None:
    """Runs the command."""
    command_line.run(main, _parse_flags, __name__)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    return command_line.parse_flags(argv, allow_arguments=True)
