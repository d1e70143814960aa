"""Writes the tables of all documents from the stored results.

    python -m experiments.tables            # writes
    python -m experiments.tables --check    # fails if a document has other tables

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import functools
import re
import sys
from collections.abc import Callable, Iterable

from experiments import benchmark_tables, comparison, settings, task_tables
from experiments.cli import ROOT
from experiments.markdown import Form, number
from experiments.results import MODELS, find, group, groups
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size

DOCUMENTS = (
    "README.md",
    "RESULTS.md",
    "benchmarks/README.md",
    "docs/debugging.md",
    "docs/distributed.md",
    "docs/settings.md",
    "docs/training.md",
    "experiments/README.md",
)
_MODELS_OF = {task: [f"{task}_{model}" for model in MODELS] for task in TASKS}
_OTHERS = [task for task in TASKS if task != "copy"]
_NTMS = [f"{task}_{model}" for task in _OTHERS for model in ("ntm", "ntm_lstm")]
_COPY = ("copy_ntm", "copy_ntm_lstm", "copy_ntm_keras", *_MODELS_OF["copy"][2:])
_COPY_ALL = (*_COPY[:3], "copy_ntm_keras_original", "copy_lstm", "copy_lstm_keras", *_COPY[4:])
_ITEMS = [(items,) for items in (2, 3, 4, 5, 6, 8, 10, 12, 15, 20)]
_REPEATS = [(10, 10), (10, 15), (10, 20), (15, 10), (20, 10), (20, 20)]
_COUNTS = [(count,) for count in (10, 15, 20, 25, 30, 40)]

_UNTIL_LEARNED = "training sequences until learned"
_LEARNING = (
    f"config | {_UNTIL_LEARNED} | training sequences until solved | restarts | solved in training"
    " | stayed solved | collapsed | solved at the end"
)
_COPY_ABLATION = (
    f"change | learned | {_UNTIL_LEARNED} | solved | bit errors per sequence at 120"
    " | at 300, 512 slots"
)


def _trained(names: Iterable[str], header: str, *files: str) -> Callable[[], str]:
    """Returns the table of configs, from ensembles or, where there are none, single seeds."""

    def write() -> str:
        found = groups(*(files or ("single_seeds", "ensembles")))
        return task_tables.trained(header, [found[name] for name in names])

    return write


def _ablation(header: str, ablation: str, name: str | None = None) -> Callable[[], str]:
    """Returns the table of an ablation; that of one config starts with its default settings."""

    def write() -> str:
        lines = find("ablations", name=name) if name else find("ablations", ablation=ablation)
        rows = [line for line in lines if line["ablation"] == ablation or not line["setting"]]
        return task_tables.trained(header, map(group, rows))

    return write


def _by_size(task: str, sizes: list[Size], key: str, form: Form = number) -> Callable[[], str]:
    def write() -> str:
        rows = [groups("ensembles")[name] for name in _MODELS_OF[task]]
        return task_tables.by_size(rows, sizes, key, form)

    return write


TABLES: dict[str, Callable[[], str]] = {
    "seeds": _trained(
        _COPY_ALL,
        "config | parameters | solved | training sequences until solved"
        " | bit errors per sequence at 20 / 120 | at 300, 512 slots",
    ),
    "tasks": _trained(
        _NTMS,
        f"config | parameters | learned | {_UNTIL_LEARNED}"
        " | bits per sequence at the largest training size | Bayes-optimal cost",
    ),
    "seconds": _trained(
        ("copy_ntm", "copy_ntm_lstm"),
        "config | wall time (s) | compile time (s) | training steps | solved",
        "single_seeds",
    ),
    "learning": _trained(_COPY, _LEARNING),
    **{f"{task}_learning": _trained(_MODELS_OF[task], _LEARNING) for task in _OTHERS},
    "generalisation": _trained(
        _COPY_ALL,
        "config | 10 | 20 | 30 | 50 | 80 | 120 | models with zero errors | 300, 512 slots"
        " | 1,000, 2,048 slots",
    ),
    "costs": _trained(
        [*_COPY, *(name for task in _OTHERS for name in _MODELS_OF[task])],
        "config | parameters | seeds | training sequences per seed | wall time (min) | host",
    ),
    "chomsky": comparison.chomsky,
    "copy_published": lambda: comparison.comparison("copy"),
    "associative_recall_published": lambda: comparison.comparison("associative_recall"),
    "associative_recall_costs": _by_size("associative_recall", _ITEMS, "bits_per_sequence"),
    "associative_recall_errors": _by_size("associative_recall", _ITEMS, "bit_errors_per_sequence"),
    "ngrams_excess": _by_size("ngrams", [(200,)], "excess_bits_per_sequence", "{:.2f}".format),
    "priority_sort_costs": _by_size("priority_sort", _COUNTS, "bits_per_sequence"),
    "priority_sort_errors": _by_size("priority_sort", _COUNTS, "bit_errors_per_sequence"),
    "priority_sort_gaps": task_tables.priority_sort_gaps,
    "priority_sort_order": task_tables.priority_sort_order,
    "repeat_copy_errors": _by_size("repeat_copy", _REPEATS, "bit_errors_per_sequence"),
    "repeat_copy_perfect": _by_size("repeat_copy", _REPEATS, "perfect_sequences", "{:.0%}".format),
    "repeat_copy_counts": task_tables.repeat_copy_counts,
    "countdown": task_tables.repeat_copy_countdown,
    "curricula": _ablation(f"config | curriculum | learned | {_UNTIL_LEARNED}", "curriculum"),
    "priority_sort_heads": _ablation(
        "config | read + write heads | parameters | seeds | bit errors per sequence"
        " | wall time (min)",
        "num_heads",
    ),
    **{
        f"{ablation}_{name}": _ablation(_COPY_ABLATION, ablation, name)
        for ablation in ("initialization", "one_factor")
        for name in ("copy_ntm", "copy_ntm_lstm")
    },
    **{
        f"own_loop_{group}": functools.partial(task_tables.own_loop, group)
        for group in ("ladder", "without", "controllers", "formats")
    },
    "own_loop_readme": task_tables.readme,
    "plateaus": task_tables.plateaus,
    "failures": task_tables.failures,
    "cell_cost": benchmark_tables.cell_cost,
    "ensemble_cost": benchmark_tables.ensemble_vs_sequential,
    "gpu_ensemble": benchmark_tables.gpu_ensemble,
    "gpu_fused": benchmark_tables.gpu_fused,
    "gpu_speed": benchmark_tables.gpu_speed,
    "settings_training": settings.training,
    "settings_tasks": settings.tasks,
    "settings_models": settings.models,
    "scaling": benchmark_tables.scaling_devices,
    "scaling_size_host": benchmark_tables.scaling_size_host,
    "scaling_size_exponents": benchmark_tables.scaling_size_exponents,
    "scaling_size_points": benchmark_tables.scaling_size_points,
    "speed": benchmark_tables.speed_summary,
    "speed_environment": benchmark_tables.speed_environment,
    "speed_training": lambda: benchmark_tables.speed("training"),
    "speed_forward": lambda: benchmark_tables.speed("forward"),
    "startup": benchmark_tables.startup,
    "tracing": benchmark_tables.tracing,
}


def render(text: str) -> str:
    """Returns a document with every table replaced by the one from the stored results."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?<!-- end -->",
        lambda match: f"{match[1]}{TABLES[match[2]]()}\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Writes the documents, or checks them."""
    for name in DOCUMENTS:
        path = ROOT / name
        old = path.read_text()
        new = render(old)
        if new != old and "--check" in sys.argv[1:]:
            sys.exit(f"{name}: outdated tables; run python -m experiments.tables")
        path.write_text(new)


if __name__ == "__main__":
    main()
