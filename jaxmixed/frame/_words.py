"""Values and numbers of things, written out for messages."""

from collections.abc import Iterable
from typing import Any


def listed(values: Iterable[Any], limit: int = 8) -> str:
    """Write out up to `limit` values, and how many more there are."""
    values = list(values)
    shown = ", ".join(repr(value) if isinstance(value, str) else str(value) for value in values[:limit])
    return shown + (f" and {len(values) - limit} more" if len(values) > limit else "")


def counted(n: int, noun: str) -> str:
    """Write out a number of things: "1 row", "2 rows"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
