"""What a picture is asked for: a fit, names among those known, a frame with certain columns."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..frame._check import check_choice
from ..frame._errors import DataError
from ..frame._result import LmerResult


def check_fit(fit: Any) -> LmerResult:
    """Return the fit, if it is one of a mixed model."""
    if not isinstance(fit, LmerResult):
        raise DataError(f"fit is of type {type(fit).__name__}; expected the result of jm.lmer.")
    return fit


def choose(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return the value, or the first of those allowed for `None`."""
    if value is None:
        return allowed[0]
    check_choice(name, value, allowed)
    return value


def several_of(name: str, values: Any, known: Sequence[Any]) -> list[Any]:
    """Return a list of values, one being a list of itself; all of them must be known."""
    values = [values] if isinstance(values, str) else list(values)
    missing = [value for value in values if value not in known]
    if missing or not values:
        shown = ", ".join(map(repr, known[:6])) + ", ..." * (len(known) > 6)
        found = f"has {missing[0]!r}" if missing else "is empty"
        raise DataError(f"{name} {found}; expected one or more of {shown}.")
    return values


def labelled_frame(table: Any, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a frame, or what `to_frame()` gives, if it has the columns."""
    table = table.to_frame() if hasattr(table, "to_frame") and not isinstance(table, pd.DataFrame) else table
    if not isinstance(table, pd.DataFrame) or not set(columns) <= set(table.columns):
        found = list(table.columns) if isinstance(table, pd.DataFrame) else f"a {type(table).__name__}"
        raise DataError(f"{name} has {found}; expected a frame with the columns {', '.join(columns)}.")
    return table
