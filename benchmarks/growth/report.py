"""Tables of growth."""

from collections.abc import Mapping
from typing import Any

from benchmarks.growth.sweeps import SWEEPS, size_of

__all__ = ["conditions", "exponents", "points"]


def conditions(document: Mapping[str, Any]) -> str:
    """The machine, how much of it others used, and the picture."""
    machine, rows = document["machine"], document["rows"]
    shares = [row["others_share"] for row in rows if row["others_share"] is not None]
    others = f"; others used up to {max(shares):.0%} of its cores' time" if shares else ""
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores{others}.\n\n"
        "![Time and memory against slots, steps, batch and seeds, all axes logarithmic.]"
        "(../docs/growth.png)"
    )


def exponents(document: Mapping[str, Any]) -> str:
    """A line for each sweep and kind of work."""
    lines = [
        "| against | of | from | to | exponent of time | exponent of memory "
        "| memory at the end over that at the start |",
        "|---|---|---|---|---|---|---|",
    ]
    for fit in document["exponents"]:
        cells = (
            SWEEPS[fit["sweep"]].axis,
            fit["work"],
            f"{fit['from']:,}",
            f"{fit['to']:,}",
            f"{fit['seconds']:.2f}",
            f"{fit['planned_bytes']:.2f}",
            f"{fit['memory_ratio']:.3g}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def points(document: Mapping[str, Any]) -> str:
    """The smallest and the largest point of each sweep, and the long sequences."""
    lines = [
        "| | slots N | steps T | batch B | seeds E | seconds | MiB planned "
        "| MiB of the process at most, over the smallest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = document["rows"]
    for name in (*SWEEPS, "long"):
        for work in dict.fromkeys(row["work"] for row in rows if row["sweep"] == name):
            found = [row for row in rows if (row["sweep"], row["work"]) == (name, work)]
            if name != "long":
                found.sort(key=lambda row, name=name: size_of(name, row))
                found = [found[0], found[-1]] if len(found) > 1 else found
            lines += [_line(row, document["baselines"].get(work)) for row in found]
    return "\n".join(lines)


def _line(row: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    more = "" if baseline is None else f"{(row['peak_bytes'] - baseline['peak_bytes']) / 2**20:.0f}"
    cells = (
        row["work"],
        f"{row['num_slots']:,}",
        f"{2 * row['length'] + 1:,}",
        row["batch_size"],
        row["num_seeds"],
        f"{row['seconds']['median']:.3g}",
        f"{row['planned_bytes'] / 2**20:,.1f}",
        more,
    )
    return f"| {' | '.join(map(str, cells))} |"
