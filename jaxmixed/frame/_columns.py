"""One column of a frame as arrays: numbers, or a factor's codes and levels."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd

from ._errors import DataError

NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}
# What pandas infers of values that are neither numbers nor levels, in words.
NEITHER = {
    "complex": "complex numbers",
    **dict.fromkeys(("timedelta", "timedelta64"), "durations"),
    **dict.fromkeys(("date", "datetime", "datetime64", "time", "period"), "dates or times"),
}


@dataclass(frozen=True)
class Numbers:
    """A numeric column.

    Attributes
    ----------
    values
        float64, NaN where missing, shape (n,); never the memory of the user's frame, which may change.
    """

    values: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Where the column is missing, shape (n,)."""
        return np.isnan(self.values)

    @cached_property
    def finite(self) -> bool:
        """Whether all values are there, and none is infinite."""
        return bool(np.isfinite(self.values).all())

    @property
    def complete(self) -> bool:
        """Whether all values are there."""
        return self.finite or not self.missing.any()

    def take(self, rows: np.ndarray) -> "Numbers":
        """Keep some rows."""
        return Numbers(self.values[rows])


@dataclass(frozen=True)
class Factor:
    """A column of levels.

    Attributes
    ----------
    codes
        Level of each row, -1 where missing, shape (n,).
    levels
        Levels in order: the categories' own order, else sorted.
    """

    codes: np.ndarray
    levels: pd.Index

    @property
    def missing(self) -> np.ndarray:
        """Where the column is missing, shape (n,)."""
        return self.codes < 0

    @property
    def complete(self) -> bool:
        """Whether all values are there."""
        return bool(self.codes.min(initial=0) >= 0)

    def take(self, rows: np.ndarray) -> "Factor":
        """Keep some rows, and all levels."""
        return Factor(self.codes[rows], self.levels)

    def observed(self) -> "Factor":
        """Leave out the levels that do not occur."""
        occurs = np.bincount(self.codes + 1, minlength=len(self.levels) + 1)[1:] > 0
        if occurs.all():
            return self
        return Factor(np.append(np.cumsum(occurs) - 1, -1)[self.codes], self.levels[occurs])


Column = Numbers | Factor


def read_column(series: pd.Series) -> Column:
    """Read a column as a covariate: numbers stay numbers; text, categories and booleans are factors."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return Numbers(np.array(series.values, dtype=np.float64))
    if isinstance(dtype, pd.CategoricalDtype) or dtype.kind == "b":
        return read_factor(series)
    inferred = pd.api.types.infer_dtype(series, skipna=True) if dtype.kind in "OcmM" else ""
    if inferred in NEITHER:
        raise DataError(
            f"Column {series.name!r} holds {NEITHER[inferred]}; expected numbers, text, booleans or "
            f"categories, so convert it to numbers, or to text if its values are levels."
        )
    if pd.api.types.is_numeric_dtype(dtype) or inferred in NUMBERS:
        return Numbers(pd.array(series, dtype="Float64").to_numpy(dtype=np.float64, na_value=np.nan))
    return read_factor(series)


def read_factor(values: pd.Series) -> Factor:
    """Read a column as a factor, whatever its type."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        categorical = cast(pd.Categorical, values.array)
        return Factor(categorical.codes.astype(np.int64), categorical.categories)
    what = "A factor" if values.name is None else f"Column {values.name!r}"
    try:
        codes, levels = pd.factorize(values)
    except TypeError:
        kind = next(type(value).__name__ for value in values if not isinstance(value, Hashable))
        raise DataError(
            f"{what} holds values of type {kind}; expected numbers, text, booleans or categories, "
            f"so convert it to one of them."
        ) from None
    levels = pd.Index(levels)
    if levels.dtype.kind == "f" and np.isinf(levels.to_numpy(dtype=np.float64)).any():
        raise DataError(
            f"{what} holds infinite values; expected levels, so correct them, or set them to missing to "
            f"drop their rows."
        )
    if levels.dtype.kind == "f" and (levels == np.floor(levels)).all():
        levels = levels.astype(np.int64)  # whole numbers turn float where some are missing
    order = order_of(levels)
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    return Factor(rank[codes], levels[order])


def order_of(levels: pd.Index) -> np.ndarray:
    """Return the places of levels in their order: sorted, and by type where types do not compare."""
    values = np.asarray(levels)
    try:
        return np.argsort(values, kind="stable")
    except TypeError:  # levels of several types have no order of their own
        keys = [(type(value).__name__, str(value)) for value in values]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
