"""Many responses as blocks of columns, from a frame, an array, names of columns, or blocks one by one."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._errors import DataError
from ._source import Source, open_data, unknown_column
from ._words import counted, listed

FORMS = (
    "expected a data frame or an array with a column for each response, or a list of names of columns of data"
)


@dataclass(frozen=True)
class Block:
    """Some responses: their names, and float64 values of all rows of the data, shape (n, R)."""

    names: pd.Index
    values: np.ndarray


@dataclass(frozen=True)
class Responses:
    """Where blocks come from; `count` is the number of responses, `None` if that shows at the end."""

    given: Any
    source: Source
    count: int | None

    def blocks(self, at_once: int) -> Iterator[Block]:
        """Return consecutive blocks of `at_once` responses, the last one smaller."""
        if self.count is not None:
            for first in range(0, self.count, at_once):
                yield _block(self.given, slice(first, min(first + at_once, self.count)), self.source, first)
            return
        waiting, found = [], 0
        for block in _whole_blocks(self.given, self.source):
            waiting.append(block)
            found += len(block.names)
            while sum(len(b.names) for b in waiting) >= at_once:
                joined = _joined(waiting)
                yield Block(joined.names[:at_once], joined.values[:, :at_once])
                waiting = [Block(joined.names[at_once:], joined.values[:, at_once:])]
        _at_least_one(found)
        if sum(len(b.names) for b in waiting):
            yield _joined(waiting)


def read_responses(responses: Any, source: Source) -> Responses:
    """Check what can be checked of responses before any is read.

    Raises
    ------
    DataError
        If they are in no form that is known, or do not have the rows of the data.
    """
    if isinstance(responses, str) or isinstance(responses, pd.Series) or responses is None:
        remedy = f"so write [{responses!r}]" if isinstance(responses, str) else "or use jm.lmer for one"
        raise DataError(f"responses is of type {type(responses).__name__}; {FORMS}, {remedy}.")
    if isinstance(responses, np.ndarray):
        _check_array(responses, len(source))
        return Responses(responses, source, responses.shape[1])
    if isinstance(responses, Iterator):
        return Responses(responses, source, None)
    if isinstance(responses, list | tuple | pd.Index):
        names = list(responses)
        for name in names:
            if not isinstance(name, str):
                raise DataError(f"responses holds {name!r}, of type {type(name).__name__}; {FORMS}.")
            if name not in source:
                raise unknown_column(name, source.columns, "responses")
        repeated = pd.Index(names)[pd.Index(names).duplicated()].unique()
        if len(repeated):
            raise DataError(f"responses names {listed(repeated)} twice; expected each column once.")
        _check_numeric(names, source)
        return Responses(names, source, _at_least_one(len(names)))
    try:
        frame = open_data(responses, "responses")
    except DataError as error:
        if "unique" in str(error):
            raise
        raise DataError(f"responses is of type {type(responses).__name__}; {FORMS}.") from None
    _check_frame(frame, source)
    if isinstance(responses, pd.DataFrame):
        _check_numeric(responses, source)
        return Responses(responses, source, len(frame.columns))
    return Responses(frame, source, len(frame.columns))


def _check_numeric(given: Any, source: Source) -> None:
    """Check columns that may hold something else than numbers, before any is fitted."""
    read, names = _reader(given, source)
    for name in names:
        values = read(name)
        if not _is_plain(values.dtype):
            _numbers(values, name)


def _at_least_one(count: int) -> int:
    if count == 0:
        raise DataError("responses is empty; expected at least one response.")
    return count


def _check_array(array: np.ndarray, n: int) -> None:
    if array.ndim != 2 or len(array) != n:
        turned = array.ndim == 2 and array.shape[1] == n
        remedy = "so pass its transpose, .T" if turned else "so check how it was made"
        raise DataError(
            f"responses has shape {array.shape}, but data has {counted(n, 'row')}; expected ({n}, R), a "
            f"column for each response, {remedy}."
        )
    if array.dtype.kind not in "biuf":
        raise DataError(f"responses is an array of {array.dtype}; expected real numbers.")
    _at_least_one(array.shape[1])


def _check_frame(frame: Source, source: Source) -> None:
    if len(frame) != len(source):
        raise DataError(
            f"responses has {counted(len(frame), 'row')} and data {len(source)}; expected the same rows in "
            f"the same order."
        )
    if frame.labelled and source.labelled and not frame.index.equals(source.index):
        raise DataError(
            "responses has other row labels than the data, or another order of them; expected the same, so "
            "reindex it to the data, or pass .to_numpy() to go by position."
        )
    _at_least_one(len(frame.columns))


def _block(given: Any, columns: slice, source: Source, first: int) -> Block:
    """Read some columns, by position."""
    if isinstance(given, np.ndarray):
        values = np.asarray(given[:, columns], np.float64)
        return Block(_numbered(first, values.shape[1]), values)
    if isinstance(given, pd.DataFrame) and all(map(_is_plain, given.dtypes.iloc[columns])):
        part = given.iloc[:, columns]
        return Block(_named(part.columns), part.to_numpy(np.float64))
    read, names = _reader(given, source)
    names = names[columns]
    return Block(_named(pd.Index(names)), np.column_stack([_numbers(read(name), name) for name in names]))


def _is_plain(dtype: Any) -> bool:
    """Tell whether values of a type are numbers of NumPy's own."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _reader(given: Any, source: Source) -> tuple[Callable[[Any], pd.Series], list[Any]]:
    """Return what reads a column by name, and all names."""
    if isinstance(given, pd.DataFrame):
        return given.__getitem__, list(given.columns)
    return (given.get, list(given.columns)) if isinstance(given, Source) else (source.read, given)


def _numbers(values: pd.Series, name: Any) -> np.ndarray:
    try:
        if values.dtype.kind in "cmM":
            raise TypeError
        return pd.array(values, dtype="Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(
            f"The response {name!r} is not numeric; expected numbers, so convert it or leave it out."
        ) from None


def _whole_blocks(given: Iterable[Any], source: Source) -> Iterator[Block]:
    """Read blocks that come one by one, arrays or frames."""
    first = 0
    for responses in given:
        read = read_responses(responses, source)
        if read.count is None or isinstance(read.given, list):
            raise DataError(
                f"A block of responses is of type {type(responses).__name__}; expected an array or a data "
                f"frame with a column for each response."
            )
        yield _block(read.given, slice(0, read.count), source, first)
        first += read.count


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    names = blocks[0].names.append([block.names for block in blocks[1:]])
    return Block(names, np.concatenate([block.values for block in blocks], axis=1))


def _numbered(first: int, count: int) -> pd.Index:
    return pd.RangeIndex(first, first + count, name="response")


def _named(columns: pd.Index) -> pd.Index:
    return columns.rename("response")
