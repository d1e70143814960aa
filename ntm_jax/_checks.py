"""Range checks of module fields and function arguments."""

from collections.abc import Sequence

__all__ = ["check_at_least"]


def check_at_least(minimum: int, **values: int | Sequence[int]) -> None:
    """Raises ValueError for the first value, or sequence with an entry, below `minimum`."""
    for name, value in values.items():
        entries = value if isinstance(value, Sequence) else [value]
        if any(entry < minimum for entry in entries):
            raise ValueError(f"{name}: expected at least {minimum}, got {value}")
