"""One column of a frame as arrays: numbers, or a factor's codes and levels.

pandas frames are read as they are. Any other frame goes through narwhals, only the columns a
formula names, and becomes a pandas frame.
"""

import difflib
import keyword
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

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


@dataclass(frozen=True)
class Source:
    """A frame whose columns are read one at a time.

    Attributes
    ----------
    columns
        Names of the columns.
    index
        Labels of the rows.
    get
        Returns a column, by its exact name, as a pandas Series.
    labelled
        Whether the row labels are the user's own, as in pandas, and not mere positions.
    """

    columns: pd.Index
    index: pd.Index
    get: Callable[[str], pd.Series]
    labelled: bool = False

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: str) -> bool:
        return name in self.columns or self._without_underscore(name) in self.columns

    def read(self, name: str) -> pd.Series:
        """Return the column that a formula means by `name`, as a pandas Series."""
        return self.get(self.name_of(name))

    def name_of(self, name: str) -> str:
        """Return the name of the column that a formula means by `name`."""
        return name if name in self.columns else self._without_underscore(name)

    @staticmethod
    def _without_underscore(name: str) -> str:
        # inside a call, a column named by a Python keyword carries a trailing underscore: log(yield_)
        return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def open_data(data: Any, what: str = "data") -> Source:
    """Open a pandas frame, or any other that narwhals reads.

    Raises
    ------
    DataError
        If `data` is no data frame, or two of its columns share a name.
    """
    if isinstance(data, pd.DataFrame):
        source = Source(data.columns, data.index, lambda name: cast(pd.Series, data[name]), True)
    else:
        source = _open_narwhals(data, what)
    if not source.columns.is_unique:
        repeated = source.columns[source.columns.duplicated()].unique()
        raise DataError(
            f"{what} has more than one column named {listed(repeated)}; "
            f"expected unique column names, so rename or drop the duplicates."
        )
    return source


def _open_narwhals(data: Any, what: str) -> Source:
    import narwhals as nw

    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError:
        remedy = (
            "call .collect() on it" if hasattr(data, "collect") else "convert it with pandas.DataFrame(...)"
        )
        raise DataError(
            f"{what} is of type {type(data).__name__}; expected a data frame (pandas, polars, or "
            f"another that narwhals reads), so {remedy}."
        ) from None

    def get(name: str) -> pd.Series:
        series = frame[name]
        if series.dtype == nw.Enum:
            return pd.Series(
                pd.Categorical(series.to_list(), categories=list(series.dtype.categories)), name=name
            )
        return pd.Series(series.to_numpy() if series.dtype.is_numeric() else series.to_list(), name=name)

    return Source(pd.Index(frame.columns), pd.RangeIndex(len(frame)), get)


def unknown_column(name: str, columns: Iterable[Any], where: str, what: str = "data") -> DataError:
    """Return the error for a name that is no column, with the nearest names."""
    known = [str(column) for column in columns]
    dotted = [column for column in known if column.startswith(name + ".")]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    lower = [column for column in known if column.lower() == name.lower()]
    if dotted:
        remedy = f"inside a call, put a name with a dot into backticks: `{dotted[0]}`"
    elif lower or near:
        remedy = f"did you mean {' or '.join(map(repr, dict.fromkeys(lower + near)))}?"
    else:
        remedy = f"the columns are {listed(known)}" if known else f"{what} has no columns at all"
    return DataError(
        f"Column {name!r} of {where} is not in {what}; {remedy}{'' if remedy.endswith('?') else '.'}"
    )


def listed(values: Iterable[Any], limit: int = 8) -> str:
    """Write out up to `limit` values, and how many more there are."""
    values = list(values)
    shown = ", ".join(repr(value) if isinstance(value, str) else str(value) for value in values[:limit])
    return shown + (f" and {len(values) - limit} more" if len(values) > limit else "")


def counted(n: int, noun: str) -> str:
    """Write out a number of things: "1 row", "2 rows"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


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
