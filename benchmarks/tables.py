"""Writes the tables of the documents from the files that the benchmarks and studies wrote.

    python -m benchmarks.tables            # writes them
    python -m benchmarks.tables --check    # fails if a document has others

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import functools
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import published, task_tables
from benchmarks.commands import ROOT
from benchmarks.growth import report as growth
from benchmarks.members import MODELS, members, read, spread
from benchmarks.speed import report as speeds
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size
from studies.copy_start import settings as copy_start

_DOCUMENTS = (
    "README.md",
    "RESULTS.md",
    "benchmarks/README.md",
    "docs/distributed.md",
    "studies/copy_start/README.md",
)
_COPY = (
    "copy_ntm",
    "copy_ntm_lstm",
    "copy_ntm_keras",
    "copy_ntm_keras_original",
    "copy_lstm",
    "copy_lstm_keras",
    "copy_gru",
    "copy_transformer",
)
_OTHERS = [task for task in TASKS if task != "copy"]
_ITEMS = [(items,) for items in (2, 3, 4, 5, 6, 8, 10, 12, 15, 20)]
_REPEATS = [(10, 10), (10, 15), (10, 20), (15, 10), (20, 10), (20, 20)]
_COUNTS = [(count,) for count in (10, 15, 20, 25, 30)]


def seconds() -> str:
    """How long the train command took, on a machine with nothing else to do."""
    lines = ["| config | seconds of the command | of them compiling | updates | solved |"]
    lines.append("|---|---|---|---|---|")
    for name in ("copy_ntm", "copy_ntm_lstm"):
        if document := read(f"{name}_alone"):
            rows = document["seeds"]
            cells = [
                f"[{name}](configs/{name}.py)",
                spread([row["command_seconds"] for row in rows], "{:.0f}"),
                spread([row["summary"]["compile_seconds"] for row in rows], "{:.0f}"),
                spread([row["summary"]["step"] for row in rows], "{:,.0f}"),
                f"{sum(one.solved for one in members(f'{name}_alone'))} of {len(rows)}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed() -> str:
    """The peer's speed beside ours, as benchmarks/speed measured it."""
    document = read("speed")
    if document is None or "pytorch_ntm_commit" not in document["versions"]:
        return "not measured"
    return speeds.beside_peer(document)


def start_up() -> str:
    """How soon the train command trains, as benchmarks/start_up.py measured it."""
    document = read("start_up")
    if document is None:
        return "not measured"
    lines = ["| config | XLA's flags | first time | with what that left |", "|---|---|---|---|"]
    for row in document["seconds_to_first_updates"]:
        cells = (
            row["config"],
            "its own" if row["XLA_FLAGS"] else "as train.py sets them",
            spread(row["first"], "{:.1f}"),
            spread(row["second"], "{:.1f}"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ensemble_cost() -> str:
    """Ten seeds at once beside one after the other, as benchmarks/ensemble_cost.py measured it."""
    document = read("ensemble_cost")
    if document is None:
        return "not measured"
    lines = ["| | seconds of the commands | of them compiling |", "|---|---|---|"]
    number = len(document["alone"])
    for name, runs in (
        (f"{number} seeds, one after the other", document["alone"]),
        (f"{number} at once", [document["together"]]),
    ):
        seconds = (sum(one[key] for one in runs) for key in ("command_seconds", "compile_seconds"))
        lines.append(f"| {name} | {' | '.join(f'{value:.0f}' for value in seconds)} |")
    return "\n".join([*lines, f"| ratio | {document['ratio']:.2f} | |"])


def scaling(document: dict[str, Any]) -> str:
    """Two devices and two processes beside one core, as benchmarks/scaling.py measured it."""
    lines = ["| batch | seeds | one core | two devices | efficiency | two processes | efficiency |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in document["rows"]:
        rates = row["updates_per_second"]
        cells = [f"{row['batch_size']}", f"{row['num_seeds']}", spread(rates["one_core"], "{:.1f}")]
        for way in ("two_devices", "two_processes"):
            gain = statistics.median(rates[way]) / statistics.median(rates["one_core"])
            cells += [spread(rates[way], "{:.1f}"), f"{gain / 2:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def scaling_on_paper(document: dict[str, Any]) -> str:
    """What eight machines would gain, by the formula in docs/distributed.md."""
    devices, bytes_per_second, latency = 8, 10e9 / 8, 50e-6
    lines = ["| batch | t, ms | s, ms | efficiency | with t ten times shorter |"]
    lines.append("|---|---|---|---|---|")
    for row in document["rows"]:
        if row["num_seeds"] > 1:
            continue
        alone = 1 / statistics.median(row["updates_per_second"]["one_core"])
        sent = 2 * (devices - 1) / devices * 4 * row["num_params"]
        adding = sent / bytes_per_second + 2 * (devices - 1) * latency
        cells = [f"{row['batch_size']}", f"{1e3 * alone:.1f}", f"{1e3 * adding:.2f}"]
        cells += [f"{1 / (1 + devices * adding / t):.2f}" for t in (alone, alone / 10)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(name: str, table: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """A table of one file."""

    def make() -> str:
        document = read(name)
        return "not measured" if document is None else table(document)

    return make


def _models(task: str) -> list[str]:
    return [f"{task}_{model}" for model in MODELS]


def _by_size(task: str, sizes: Sequence[Size], key: str, form: str = "{:.3g}") -> Callable[[], str]:
    return functools.partial(task_tables.by_size, _models(task), sizes, key, form)


_TABLES = {
    "ensemble_cost": ensemble_cost,
    "generalisation": functools.partial(
        task_tables.errors,
        _COPY,
        [(length,) for length in (10, 20, 30, 50, 80, 120)],
        [((300,), 512), ((1000,), 2048)],
    ),
    "learning": functools.partial(task_tables.learning, _COPY),
    **{
        f"{task}_learning": functools.partial(task_tables.learning, _models(task))
        for task in _OTHERS
    },
    **{
        f"{task}_published": functools.partial(published.beside, task)
        for task in published.COMPARISONS
    },
    "associative_recall_costs": _by_size("associative_recall", _ITEMS, "bits_per_sequence"),
    "associative_recall_errors": _by_size("associative_recall", _ITEMS, "bit_errors_per_sequence"),
    "ngrams_excess": _by_size("ngrams", [(200,)], "excess_bits_per_sequence", "{:.2f}"),
    "costs": functools.partial(
        task_tables.costs, [*_COPY, *(name for task in _OTHERS for name in _models(task))]
    ),
    "countdown": _of("countdown", task_tables.countdown),
    "repeat_copy_counts": _of("counting", task_tables.counts),
    "curricula": _of("curricula", task_tables.curricula),
    "priority_sort_heads": _of("heads", task_tables.heads),
    "priority_sort_costs": _by_size("priority_sort", _COUNTS, "bits_per_sequence"),
    "priority_sort_errors": _by_size("priority_sort", _COUNTS, "bit_errors_per_sequence"),
    "repeat_copy_errors": _by_size("repeat_copy", _REPEATS, "bit_errors_per_sequence"),
    "repeat_copy_perfect": _by_size("repeat_copy", _REPEATS, "perfect_sequences", "{:.0%}"),
    "tasks": functools.partial(
        task_tables.trained,
        [f"{task}_{model}" for task in _OTHERS for model in ("ntm", "ntm_lstm")],
    ),
    "scaling": _of("scaling", scaling),
    "scaling_on_paper": _of("scaling", scaling_on_paper),
    "seconds": seconds,
    "seeds": functools.partial(task_tables.seeds, _COPY, ((300,), 512)),
    "growth_conditions": _of("growth", growth.conditions),
    "growth_exponents": _of("growth", growth.exponents),
    "growth_points": _of("growth", growth.points),
    "speed": speed,
    "start_up": start_up,
    "speed_conditions": _of("speed", speeds.conditions),
    **{
        f"speed_{work}": _of("speed", functools.partial(speeds.table, work=work))
        for work in speeds.WORK
    },
    **{
        f"{name}_{controller}": functools.partial(copy_start.table, controller, settings)
        for controller in copy_start.CONFIGS
        for name, settings in (
            ("starts", copy_start.STARTS),
            ("factors", copy_start.FACTORS[controller]),
        )
    },
}


def render(text: str) -> str:
    """The document with every table made anew."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?<!-- end -->",
        lambda match: match[1] + _TABLES[match[2]]() + "\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Writes the documents, or checks them."""
    for name in _DOCUMENTS:
        path = ROOT / name
        new = render(path.read_text())
        if "--check" in sys.argv[1:] and new != path.read_text():
            sys.exit(f"{name}: its tables are not those of the files; run this program")
        path.write_text(new)


if __name__ == "__main__":
    main()
