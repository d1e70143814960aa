"""Writes the tables of README.md from the files that the benchmarks wrote.

    python -m benchmarks.tables            # writes them
    python -m benchmarks.tables --check    # fails if README.md has others

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import json
import re
import statistics
import sys
from pathlib import Path

from ntm_jax import success

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / "benchmarks" / "results"


def seeds() -> str:
    """A row for each config that benchmarks/seeds.py trained."""
    lines = [
        "| config | parameters | solved | sequences trained on "
        "| wrong bits a sequence at 10 / 20 / 40 / 80 / 120 | at 300, 512 slots |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("copy_ntm", "copy_ntm_lstm", "copy_ntm_keras", "copy_lstm", "copy_lstm_keras"):
        path = _RESULTS / f"{name}.json"
        if path.exists():
            lines.append(_seeds_row(name, json.loads(path.read_text())["seeds"]))
    return "\n".join(lines)


def _seeds_row(name: str, rows: list[dict]) -> str:
    solved = sum(_solved(row) for row in rows)
    errors = [
        _number(statistics.median(values))
        for values in zip(*([_errors(row["evaluation"]) for row in rows]), strict=True)
    ]
    lengths = [result["length"] for result in rows[0]["evaluation"]["results"]]
    if lengths != [10, 20, 40, 80, 120]:
        errors = [f"{error} ({length})" for error, length in zip(errors, lengths, strict=True)]
    far = [_errors(row["enlarged"])[0] for row in rows if "enlarged" in row]
    cells = [
        f"[{name}](configs/{name}.py)",
        f"{rows[0]['summary']['num_params']:,}",
        f"{solved} of {len(rows)}",
        _spread([row["summary"]["sequences"] for row in rows], "{:,.0f}"),
        " / ".join(errors),
        _spread(far, "{:.3g}") if far else "",
    ]
    return f"| {' | '.join(cells)} |"


def _solved(row: dict) -> bool:
    """On sequences that training did not see; all configs train on lengths up to 20."""
    results = row["evaluation"]["results"]
    errors = {result["length"]: result["bit_errors_per_sequence"] for result in results}
    return success.is_solved(errors, trained_length=20)


def _errors(scores: dict) -> list[float]:
    return [result["bit_errors_per_sequence"] for result in scores["results"]]


def _spread(values: list[float], form: str) -> str:
    if len(values) == 1:
        return form.format(values[0])
    low, high = form.format(min(values)), form.format(max(values))
    return f"{form.format(statistics.median(values))} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:.3g}"


def seconds() -> str:
    """How long the train command took, on a machine with nothing else to do."""
    lines = ["| config | seconds of the command | of them compiling | updates | solved |"]
    lines.append("|---|---|---|---|---|")
    for name in ("copy_ntm", "copy_ntm_lstm"):
        path = _RESULTS / f"{name}_alone.json"
        if path.exists():
            rows = json.loads(path.read_text())["seeds"]
            cells = [
                f"[{name}](configs/{name}.py)",
                _spread([row["command_seconds"] for row in rows], "{:.0f}"),
                _spread([row["summary"]["compile_seconds"] for row in rows], "{:.0f}"),
                _spread([row["summary"]["step"] for row in rows], "{:,.0f}"),
                f"{sum(_solved(row) for row in rows)} of {len(rows)}",
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


_TABLES = {"seconds": seconds, "seeds": seeds, "speed": speed}


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
    readme = _ROOT / "README.md"
    new = render(readme.read_text())
    if "--check" in sys.argv[1:] and new != readme.read_text():
        sys.exit("README.md: its tables are not those of benchmarks/results; run this program")
    readme.write_text(new)


if __name__ == "__main__":
    main()
