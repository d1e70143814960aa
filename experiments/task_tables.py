"""Tables of trained seeds: how many are solved, after how much, and what they do at every size."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.commands import config_file
from benchmarks.members import Member, members, read, sequences, spread
from ntm_jax.training import success
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import Size

__all__ = [
    "by_size",
    "costs",
    "countdown",
    "counts",
    "curricula",
    "errors",
    "head",
    "heads",
    "learning",
    "line",
    "seeds",
    "trained",
]


def seeds(names: Sequence[str], far: tuple[Size, int]) -> str:
    """A row for each config: the first that a reader wants to know.

    Args:
      names: of configs; those without results are left out.
      far: a size, and the slots of an enlarged memory to try it in.
    """
    size, slots = far
    lines = head(
        "config",
        "parameters",
        "solved",
        "sequences until solved",
        "wrong bits a sequence at 10 / 20 / 40 / 80 / 120",
        f"at {_number(size)}, {slots} slots",
    )
    for name, some in _measured(names):
        sizes = [(n,) for n in (5, 10, 20, 40, 80, 120) if (n,) in some[0].results]
        shown = [f"{_median(some, size):.3g}" for size in sizes]
        if sizes != [(10,), (20,), (40,), (80,), (120,)]:
            shown = [f"{error} ({_number(n)})" for error, n in zip(shown, sizes, strict=True)]
        beyond = [one.enlarged[far] for one in some if far in one.enlarged]
        lines.append(
            line(
                _link(name),
                f"{some[0].summary['num_params']:,}",
                f"{sum(one.solved for one in some)} of {len(some)}",
                sequences(one.summary for one in some),
                " / ".join(shown),
                spread([row["bit_errors_per_sequence"] for row in beyond], "{:.3g}")
                if beyond
                else "",
            )
        )
    return "\n".join(lines)


def learning(names: Sequence[str]) -> str:
    """A row for each ensemble: rates with their intervals, and sequences needed."""
    lines = head(
        "config",
        "learned after sequences",
        "solved after sequences",
        "begun anew",
        "solved in training",
        "held",
        "collapsed",
        "solved at the end",
    )
    for name, some in _measured(names):
        if read(f"ensembles/{name}"):
            reached = [one.summary for one in some if one.summary["solved_at_step"] is not None]
            lines.append(
                line(
                    _link(name),
                    sequences((one.summary for one in some), "learned_at_step"),
                    sequences(one.summary for one in some),
                    # Files from before there were restarts say nothing of them.
                    sum(one.summary.get("restarts", 0) > 0 for one in some),
                    f"{len(reached)} of {len(some)}",
                    *(sum(one[word] for one in reached) for word in ("held", "collapsed")),
                    success.rate(sum(one.solved for one in some), len(some)),
                )
            )
    return "\n".join(lines)


def trained(names: Sequence[str]) -> str:
    """A row for each config: how many seeds learned, how soon, and what they pay for it."""
    lines = head(
        "config",
        "parameters",
        "learned",
        "sequences until learned",
        "bits a sequence at the largest trained size",
        "least there can be",
    )
    for name, some in _measured(names):
        size = TASKS[some[0].task]().trained_size
        rows = [one.results[size] for one in some]
        bits = [row["bits_per_sequence"] for row in rows]
        # On the same sequences for all.
        optimum = bits[0] - rows[0]["excess_bits_per_sequence"]
        learned = sum(one.summary["learned_at_step"] is not None for one in some)
        lines.append(
            line(
                _link(name),
                f"{some[0].summary['num_params']:,}",
                f"{learned} of {len(some)}",
                sequences((one.summary for one in some), "learned_at_step"),
                spread(bits, "{:.1f}" if optimum else "{:.2g}"),
                f"{optimum:.1f}" if optimum else 0,
            )
        )
    return "\n".join(lines)


def costs(names: Sequence[str]) -> str:
    """A row for each ensemble: how large its machines are, and what training them took."""
    lines = head("config", "parameters", "seeds at once", "sequences each", "minutes", "on")
    for name, some in _measured(names):
        if document := read(f"ensembles/{name}"):
            summary, machine = document["summary"], document["machine"]
            lines.append(
                line(
                    _link(name),
                    f"{summary['num_params']:,}",
                    len(some),
                    spread([one.summary["sequences"] for one in some], "{:,.0f}"),
                    f"{summary['seconds'] / 60:.0f}",
                    f"{machine['cores']} core of {machine['processor']}",
                )
            )
    return "\n".join(lines)


def counts(document: Mapping[str, Any]) -> str:
    """A row for each config: how far its machines count without a mistake, and what 20 becomes.

    Args:
      document: what benchmarks/counting.py wrote; the numbers asked for are 1 and up.
    """
    asked = document["asked"]
    lines = head("config", "counts right up to", f"asked for {asked[-1]}, it says")
    for name, machines in document["said"].items():
        pairs = [zip(asked, machine, strict=True) for machine in machines]
        right = [len([*itertools.takewhile(lambda pair: pair[0] == pair[1], of)]) for of in pairs]
        most = [machine[-1] for machine in machines if machine[-1] is not None]
        lines.append(line(_link(name), spread(right, "{:g}"), spread(most, "{:.3g}")))
    return "\n".join(lines)


def countdown(document: Mapping[str, Any]) -> str:
    """A row for each number of repeats asked for: what the memory holds after each of them.

    Args:
      document: what benchmarks/countdown.py wrote.
    """
    lines = head("asked for", "said", f"slot {document['slot']}, column {document['column']}")
    columns = (document[name] for name in ("asked", "said", "after_each_repeat"))
    for asked, said, values in zip(*columns, strict=True):
        if asked % 5 == 0:
            until = values if said is None else values[: int(said)]
            shown = ", ".join(f"{value:.1f}" for value in until)
            lines.append(line(asked, "no end" if said is None else f"{said:g}", shown))
    return "\n".join(lines)


def curricula(document: Mapping[str, Any]) -> str:
    """A row for each curriculum that a config was trained with.

    Args:
      document: what benchmarks/variants.py wrote.
    """
    lines = head("config", "sizes", "learned", "after sequences")
    for name, rows in document.items():
        for curriculum, row in rows.items():
            some = row["summary"]["members"]
            learned = sum(one["learned_at_step"] is not None for one in some)
            reached = sequences(some, "learned_at_step")
            lines.append(line(_link(name), curriculum, f"{learned} of {len(some)}", reached))
    return "\n".join(lines)


def heads(document: Mapping[str, Any]) -> str:
    """A row for each number of heads that a config was trained with.

    Args:
      document: what benchmarks/variants.py wrote.
    """
    lines = head("config", "heads", "parameters", "seeds", "wrong bits a sequence", "minutes")
    for name, rows in document.items():
        for number, row in rows.items():
            some = row["summary"]["members"]
            # Of the one size that training evaluates.
            wrong = [error for one in some for error in one["bit_errors_per_sequence"].values()]
            lines.append(
                line(
                    _link(name),
                    f"{number} + {number}",
                    f"{row['summary']['num_params']:,}",
                    len(some),
                    spread(wrong, "{:.1f}"),
                    f"{row['summary']['seconds'] / 60:.0f}",
                )
            )
    return "\n".join(lines)


def by_size(names: Sequence[str], sizes: Sequence[Size], key: str, form: str = "{:.3g}") -> str:
    """A row for each config: a number at every size, the median over seeds.

    Args:
      names: of configs; those without results are left out.
      sizes: a column each.
      key: of the number, in the file of an evaluation.
      form: that it is written in.
    """
    lines = head("config", "seeds", *map(_number, sizes))
    for name, some in _measured(names):
        of_size = ([one.results[size][key] for one in some] for size in sizes)
        numbers = (form.format(statistics.median(values)) for values in of_size)
        lines.append(line(_link(name), len(some), *numbers))
    return "\n".join(lines)


def errors(
    names: Sequence[str], sizes: Sequence[Size], far: Sequence[tuple[Size, int]] = ()
) -> str:
    """A row for each config: what its task is judged by at every size, the median over seeds.

    Args:
      names: of configs; those without results are left out.
      sizes: a column each.
      far: sizes with the slots of an enlarged memory; a column each says how many seeds made no
        mistake there.
    """
    beyond = [f"{_number(size)}, {slots:,} slots" for size, slots in far]
    lines = head("config", *map(_number, sizes), "machines with none", *beyond)
    for name, some in _measured(names):
        cells = [f"{_median(some, size):.3g}" if size in some[0].results else "" for size in sizes]
        cells.append(f"{sum(not any(one.errors.values()) for one in some)} of {len(some)}")
        for key in far:
            rows = [one.enlarged[key] for one in some if key in one.enlarged]
            perfect = sum(row["perfect_sequences"] == 1 for row in rows)
            cells.append(f"{perfect} of {len(rows)}" if rows else "")
        lines.append(line(_link(name), *cells))
    return "\n".join(lines)


def _measured(names: Sequence[str]) -> list[tuple[str, list[Member]]]:
    return [(name, some) for name in names if (some := members(name))]


def _median(some: list[Member], size: Size) -> float:
    return statistics.median(one.errors[size] for one in some)


def _number(size: Size) -> str:
    return " x ".join(f"{number:,}" for number in size)


def _link(name: str) -> str:
    return f"[{name}]({config_file(name).partition(':')[0]})"


def head(*names: str) -> list[str]:
    """The first two lines of a table, which name its columns."""
    return [line(*names), "|---" * len(names) + "|"]


def line(*cells: object) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"
