"""Rows in Arrow batches, read anew for every pass: joined and cut to a good size, columns as pandas has them.

Every piece (a file, a batch of an iterator) has a name, which errors say.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from ._errors import DataError
from ._source import Source
from ._stream_batch import Reading, T, take_in

AT_LEAST = 2**16  # rows of a batch: smaller ones are joined
AT_MOST = 2**18  # larger ones are cut


class Piece(NamedTuple):
    """Some rows, and what to call the place they come from."""

    name: str
    source: Source


class Schema:
    """What every part of the data must have: the columns wanted, each of one kind throughout."""

    def __init__(self, columns: list[str]):
        self.columns, self._kinds = columns, dict[str, str]()

    def check(self, schema: Any, name: str, elsewhere: Container[str] = ()) -> None:
        """Check the Arrow schema of a part, of which some columns may be `elsewhere`."""
        for column in self.columns:
            if column in elsewhere:
                continue
            if column not in schema.names:
                raise DataError(
                    f"The column {column!r} is missing in {name}; expected the same columns throughout."
                )
            found = _kind(schema.field(column).type)
            known = found if found is None else self._kinds.setdefault(column, found)
            if found != known:
                raise DataError(
                    f"The column {column!r} holds {found} in {name} and {known} before; expected one type "
                    f"throughout, so convert one of them."
                )


Batches = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Stream:
    """Rows that can be read several times.

    Attributes
    ----------
    columns
        Names of all columns.
    open
        Returns the Arrow batches of the columns wanted, each with its name.
    n_rows
        Number of rows, if it is known beforehand.
    """

    columns: tuple[str, ...]
    open: Callable[[Schema], Batches]
    n_rows: int | None = None

    def total(self, reading: Reading, start: Callable[[], T]) -> T:
        """Go through all rows once, showing progress on terminals."""
        total = start()
        with tqdm(total=self.n_rows, unit="row", unit_scale=True, disable=None, leave=False) as bar:
            for piece in self.read(reading.columns):
                take_in(total, reading, piece.source, piece.name)
                bar.update(len(piece.source))
        return total

    def read(self, columns: list[str]) -> Iterator[Piece]:
        """Read some columns once, in batches of a size that is good for arithmetic."""
        first = last = "data"
        waiting, rows = [], 0
        batches = self.open(Schema(columns))
        while True:
            try:
                found = next(batches, None)
            except (OSError, ValueError, TypeError, ArithmeticError) as error:
                raise cannot_read(error, f"what comes after {last}") from error
            if waiting and (found is None or rows >= AT_LEAST):
                yield from _cut(first if first == last else f"{first} to {last}", waiting, columns)
                waiting, rows = [], 0
            if found is None:
                return
            last, batch = found
            first = first if waiting else last
            waiting.append(batch)
            rows += batch.num_rows


def _cut(name: str, batches: list[Any], columns: list[str]) -> Iterator[Piece]:
    import pyarrow as pa

    tables = [pa.Table.from_batches([b]) if isinstance(b, pa.RecordBatch) else b for b in batches]
    table = pa.concat_tables(tables, promote_options="permissive")
    for first in range(0, table.num_rows, AT_MOST):
        part = table.slice(first, AT_MOST)
        index = pd.RangeIndex(part.num_rows)
        yield Piece(
            name, Source(pd.Index(columns), index, lambda column, part=part: _series(pa, part, column))
        )


def _series(pa: Any, table: Any, name: str) -> pd.Series:
    column = table.column(name)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        # Text as categories: pandas would make a Python object of every value.
        encoded = column.combine_chunks().cast(pa.large_string()).dictionary_encode().to_pandas()
        categories = pd.Categorical(encoded)
        return pd.Series(categories.reorder_categories(sorted(categories.categories)), name=name)
    if pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
    return column.to_pandas().rename(name)


def _kind(kind: Any) -> str | None:
    """Say in a word what a column of an Arrow type holds; `None` if nothing."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_null(kind):
        return None
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "numbers"
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return "text" if text else str(kind)


def cannot_read(error: Exception, what: str) -> DataError:
    """Return the error for a file that is not whole, not there, or not what it was."""
    if isinstance(error, DataError):
        return error
    reason = " ".join(str(error).split()).rstrip(".")
    return DataError(
        f"Cannot read {what}: {reason}; expected whole Arrow data that stay as they are during a fit."
    )
