"""Markdown tables, and the one format of numbers and ranges in them."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from experiments.cli import config_path

__all__ = ["Form", "link", "median_range", "number", "table"]

Form = Callable[[float], str]


def table(header: str, rows: Iterable[Iterable[object]]) -> str:
    """Returns a Markdown table.

    Args:
      header: the headings, separated by " | ".
      rows: the cells of each row.
    """
    lines = [header.split(" | "), ["---"] * (header.count(" | ") + 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def link(name: str) -> str:
    """Returns a link to a config, from the root of the repository."""
    return f"[{name}]({config_path(name).partition(':')[0]})"


def number(value: float, digits: int = 3) -> str:
    """Formats a number with this many significant digits, such as "1,160" or "0.00781"."""
    return f"{float(f'{value:.{digits}g}'):,g}"


def median_range(values: Sequence[float], form: Form | str = number) -> str:
    """Returns the median and the range, "14,000 (12,000 to 20,000)"; "" without values."""
    as_text = form.format if isinstance(form, str) else form
    if len(set(values)) <= 1:
        return as_text(values[0]) if values else ""
    low, high = as_text(min(values)), as_text(max(values))
    return f"{as_text(statistics.median(values))} ({low} to {high})"
