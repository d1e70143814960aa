"""Writes the tables of README.md from the files that the benchmarks wrote.

    python -m benchmarks.tables            # writes them
    python -m benchmarks.tables --check    # fails if README.md has others

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import json
import re
import statistics
import sys
from typing import Any, NamedTuple

from benchmarks.commands import ROOT
from ntm_jax import success

_RESULTS = ROOT / "benchmarks" / "results"
_CONFIGS = ("copy_ntm", "copy_ntm_lstm", "copy_ntm_keras", "copy_lstm", "copy_lstm_keras")


class Trained(NamedTuple):
    """A trained seed.

    Attributes:
      summary: what training said of it.
      errors: length -> wrong bits a sequence, on sequences that training did not see.
      enlarged: the same by length and slots.
      command_seconds: wall time of the train command, if it was not interrupted.
    """

    summary: dict[str, Any]
    errors: dict[int, float]
    enlarged: dict[tuple[int, int], float]
    command_seconds: float | None

    @property
    def solved(self) -> bool:
        """In the evaluation; all configs train on lengths up to 20."""
        return success.is_solved(self.errors, trained_length=20)


def _trained(name: str) -> list[Trained]:
    """The seeds in a file of benchmarks/seeds.py."""
    path = _RESULTS / f"{name}.json"
    rows = json.loads(path.read_text())["seeds"] if path.exists() else []
    return [
        Trained(
            row["summary"],
            {one["length"]: one["bit_errors_per_sequence"] for one in row["evaluation"]["results"]},
            {
                (one["length"], row["enlarged"]["slots"]): one["bit_errors_per_sequence"]
                for one in row.get("enlarged", {"results": []})["results"]
            },
            row.get("command_seconds"),
        )
        for row in rows
    ]


def seeds() -> str:
    """A row for each config: how many seeds are solved, after how much, and how far they reach."""
    lines = [
        "| config | parameters | solved | sequences until solved "
        "| wrong bits a sequence at 10 / 20 / 40 / 80 / 120 | at 300, 512 slots |",
        "|---|---|---|---|---|---|",
    ]
    for name in _CONFIGS:
        if members := _trained(name):
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


def _sequences(members: list[Trained]) -> str:
    """After how many sequences they were solved, of those that were."""
    solved = [one.summary for one in members if one.summary.get("solved_at_step") is not None]
    values = [one["solved_at_step"] * (one["sequences"] // one["step"]) for one in solved]
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
        if alone := _trained(f"{name}_alone"):
            cells = [
                f"[{name}](configs/{name}.py)",
                _spread([one.command_seconds for one in alone], "{:.0f}"),
                _spread([one.summary["compile_seconds"] for one in alone], "{:.0f}"),
                _spread([one.summary["step"] for one in alone], "{:,.0f}"),
                f"{sum(one.solved for one in alone)} of {len(alone)}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed() -> str:
    """The peer's speed beside ours, as benchmarks/peer_speed.py measured it."""
    path = _RESULTS / "peer_speed.json"
    if not path.exists():
        return "not measured"
    result = json.loads(path.read_text())["results"][0]
    lines = ["| | sequences per second, median (smallest to largest) |", "|---|---|"]
    for name, values in result["sequences_per_second"].items():
        lines.append(f"| {name} | {_spread(values['rounds'], '{:.1f}')} |")
    lines.append(f"| ratio | {_spread(result['ratio']['rounds'], '{:.1f}')} |")
    return "\n".join(lines)


_TABLES = {
    "seconds": seconds,
    "seeds": seeds,
    "speed": speed,
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
    """Writes README.md, or checks it."""
    readme = ROOT / "README.md"
    new = render(readme.read_text())
    if "--check" in sys.argv[1:] and new != readme.read_text():
        sys.exit("README.md: its tables are not those of benchmarks/results; run this program")
    readme.write_text(new)


if __name__ == "__main__":
    main()
