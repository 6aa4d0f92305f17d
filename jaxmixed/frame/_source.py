"""A frame whose columns are read one at a time.

pandas frames are read as they are. Any other frame goes through narwhals, only the columns a
formula names, and becomes a pandas frame.
"""

import difflib
import keyword
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from ._errors import DataError
from ._words import listed


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
