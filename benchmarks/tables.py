"""Writes the tables of the documents from the files that the benchmarks and studies wrote.

    python -m benchmarks.tables            # writes them
    python -m benchmarks.tables --check    # fails if a document has others

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import functools
import json
import re
import statistics
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.commands import RESULTS, ROOT
from benchmarks.growth import report as growth
from benchmarks.speed import report as speeds
from ntm_jax import success
from ntm_jax.tasks.copy import Copy
from studies.copy_start import settings as copy_start

_DOCUMENTS = (
    "README.md",
    "RESULTS.md",
    "benchmarks/README.md",
    "docs/fused.md",
    "studies/copy_start/README.md",
)
_CONFIGS = (
    "copy_ntm",
    "copy_ntm_lstm",
    "copy_ntm_keras",
    "copy_ntm_keras_original",
    "copy_lstm",
    "copy_lstm_keras",
)


class Member(NamedTuple):
    """A trained seed.

    Attributes:
      summary: what training said of it.
      errors: length -> wrong bits a sequence, on sequences that training did not see.
      enlarged: the same by length and slots.
      perfect: share of the sequences without a wrong bit, by length and slots.
    """

    summary: dict[str, Any]
    errors: dict[int, float]
    enlarged: dict[tuple[int, int], float]
    perfect: dict[tuple[int, int], float]

    @property
    def solved(self) -> bool:
        """In the evaluation; all configs train on lengths up to 20."""
        errors = {(length,): error for length, error in self.errors.items()}
        return success.is_solved(errors, (20,), Copy.limits)


def _members(name: str) -> list[Member]:
    """The seeds of a config: of its ensemble if there is one, else trained one by one."""
    ensemble = _read(f"ensembles/{name}")
    if ensemble is None:
        return [
            _member(
                row["summary"], row["evaluation"], [row["enlarged"]] if "enlarged" in row else []
            )
            for row in _rows(name)
        ]
    shared = {"num_params": ensemble["summary"]["num_params"]}
    members = ensemble["summary"]["members"]
    return [
        _member(
            shared | summary,
            ensemble["evaluation"]["members"][index],
            [{"slots": far["slots"], **far["members"][index]} for far in ensemble["enlarged"]],
        )
        for index, summary in enumerate(members)
    ]


def _member(summary: dict[str, Any], evaluation: dict, enlarged: list[dict]) -> Member:
    far = {(one["length"], some["slots"]): one for some in enlarged for one in some["results"]}
    return Member(
        summary,
        {one["length"]: one["bit_errors_per_sequence"] for one in evaluation["results"]},
        {key: one["bit_errors_per_sequence"] for key, one in far.items()},
        {key: one["perfect_sequences"] for key, one in far.items()},
    )


def _rows(name: str) -> list[dict[str, Any]]:
    """What benchmarks/seeds.py wrote, a row a seed."""
    document = _read(name)
    return document["seeds"] if document else []


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def seeds() -> str:
    """A row for each config: how many seeds are solved, after how much, and how far they reach."""
    lines = [
        "| config | parameters | solved | sequences until solved "
        "| wrong bits a sequence at 10 / 20 / 40 / 80 / 120 | at 300, 512 slots |",
        "|---|---|---|---|---|---|",
    ]
    for name in _CONFIGS:
        if members := _members(name):
            lengths = [n for n in (5, 10, 20, 40, 80, 120) if n in members[0].errors]
            errors = [statistics.median(one.errors[n] for one in members) for n in lengths]
            shown = [f"{error:.3g}" for error in errors]
            if lengths != [10, 20, 40, 80, 120]:
                shown = [f"{error} ({n})" for error, n in zip(shown, lengths, strict=True)]
            far = [one.enlarged[300, 512] for one in members if (300, 512) in one.enlarged]
            cells = [
                f"[{name}](configs/{name}.py)",
                f"{members[0].summary['num_params']:,}",
                f"{sum(one.solved for one in members)} of {len(members)}",
                _sequences(members),
                " / ".join(shown),
                _spread(far, "{:.3g}") if far else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def learning() -> str:
    """A row for each ensemble: rates with their intervals, and sequences needed."""
    lines = [
        "| config | learned after sequences | solved after sequences "
        "| begun anew | solved in training | held | collapsed | solved at the end |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in _CONFIGS:
        if _read(f"ensembles/{name}"):
            members = _members(name)
            reached = [one.summary for one in members if one.summary["solved_at_step"] is not None]
            cells = [
                f"[{name}](configs/{name}.py)",
                _sequences(members, "learned_at_step"),
                _sequences(members, "solved_at_step"),
                # Files from before there were restarts say nothing of them.
                str(sum(one.summary.get("restarts", 0) > 0 for one in members)),
                f"{len(reached)} of {len(members)}",
                *(str(sum(one[word] for one in reached)) for word in ("held", "collapsed")),
                success.rate(sum(one.solved for one in members), len(members)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def generalisation() -> str:
    """A row for each config: wrong bits by length, and in enlarged memories."""
    lengths, far = (10, 20, 30, 50, 80, 120), ((300, 512), (1000, 2048))
    beyond = [f"{n:,}, {slots:,} slots" for n, slots in far]
    head = ["config", *map(str, lengths), "machines with none", *beyond]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in _CONFIGS:
        if members := _members(name):
            cells = [f"[{name}](configs/{name}.py)"]
            for length in lengths:
                errors = [one.errors[length] for one in members if length in one.errors]
                cells.append(f"{statistics.median(errors):.3g}" if errors else "")
            perfect = sum(not any(one.errors.values()) for one in members)
            cells.append(f"{perfect} of {len(members)}")
            for key in far:
                shares = [one.perfect[key] for one in members if key in one.perfect]
                perfect = sum(share == 1 for share in shares)
                cells.append(f"{perfect} of {len(shares)}" if shares else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _sequences(members: list[Member], name: str = "solved_at_step") -> str:
    """After how many sequences, of those members that got there."""
    reached = [one.summary for one in members if one.summary.get(name) is not None]
    values = [one[name] * (one["sequences"] // one["step"]) for one in reached]
    return _spread(values, "{:,.0f}") if values else "never"


def _spread(values: list[float], form: str) -> str:
    if len(values) == 1:
        return form.format(values[0])
    low, high = form.format(min(values)), form.format(max(values))
    return f"{form.format(statistics.median(values))} ({low} to {high})"


def seconds() -> str:
    """How long the train command took, on a machine with nothing else to do."""
    lines = ["| config | seconds of the command | of them compiling | updates | solved |"]
    lines.append("|---|---|---|---|---|")
    for name in ("copy_ntm", "copy_ntm_lstm"):
        if rows := _rows(f"{name}_alone"):
            cells = [
                f"[{name}](configs/{name}.py)",
                _spread([row["command_seconds"] for row in rows], "{:.0f}"),
                _spread([row["summary"]["compile_seconds"] for row in rows], "{:.0f}"),
                _spread([row["summary"]["step"] for row in rows], "{:,.0f}"),
                f"{sum(one.solved for one in _members(f'{name}_alone'))} of {len(rows)}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed() -> str:
    """The peer's speed beside ours, by benchmarks/speed or, before that, peer_speed.py."""
    document = _read("speed")
    if document and "pytorch_ntm_commit" in document["versions"]:
        return speeds.beside_peer(document)
    document = _read("peer_speed")
    if document is None:
        return "not measured"
    result = document["results"][0]
    lines = ["| | sequences per second, median (smallest to largest) |", "|---|---|"]
    for name, values in result["sequences_per_second"].items():
        lines.append(f"| {name} | {_spread(values['rounds'], '{:.1f}')} |")
    lines.append(f"| ratio | {_spread(result['ratio']['rounds'], '{:.1f}')} |")
    return "\n".join(lines)


def ensemble_cost() -> str:
    """Ten seeds at once beside one after the other, as benchmarks/ensemble_cost.py measured it."""
    document = _read("ensemble_cost")
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


def fused() -> str:
    """What the fused kernels take of a GPU, as benchmarks/fused_compile.py was told."""
    document = _read("fused_compile")
    if document is None:
        return "not compiled"
    lines = [
        "| machine | kernel | threads | registers | spilled bytes | bytes of shared memory |",
        "|---|---|---|---|---|---|",
    ]
    for row in document["kernels"]:
        cells = (
            row["machine"],
            row["kernel"],
            *(row[key] for key in ("threads", "registers", "spilled_bytes", "shared_bytes")),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    scan = document["scan_launches"]
    lines += [
        "",
        f"The scan of [{scan['config']}](../configs/{scan['config']}.py) launches, in every time "
        f"step, {scan['forward']} kernels and copies forward and {scan['backward']} backward.",
    ]
    return "\n".join(lines)


def _of(name: str, table: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """A table of one file."""

    def make() -> str:
        document = _read(name)
        return "not measured" if document is None else table(document)

    return make


_TABLES = {
    "ensemble_cost": ensemble_cost,
    "fused": fused,
    "generalisation": generalisation,
    "learning": learning,
    "seconds": seconds,
    "seeds": seeds,
    "growth_conditions": _of("growth", growth.conditions),
    "growth_exponents": _of("growth", growth.exponents),
    "growth_points": _of("growth", growth.points),
    "speed": speed,
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
