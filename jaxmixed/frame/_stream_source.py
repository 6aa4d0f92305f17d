"""Rows that come in Arrow batches: files, data sets, queries, iterators, each read anew for every pass.

Every piece (a file, a partition, a batch of an iterator) has a name, which errors say.
"""

import importlib
import os
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from ._columns import Source
from ._errors import DataError
from ._stream_batch import Reading, Rows, T, take_in
from ._stream_dask import DaskRows

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
                raise _cannot_read(error, f"what comes after {last}") from error
            if waiting and (found is None or rows >= AT_LEAST):
                yield from _cut(first if first == last else f"{first} to {last}", waiting, columns)
                waiting, rows = [], 0
            if found is None:
                return
            last, batch = found
            first = first if waiting else last
            waiting.append(batch)
            rows += batch.num_rows


def open_stream(data: Any) -> Rows | None:
    """Open data that are read in batches; `None` if they are something else.

    Raises
    ------
    DataError
        If the data can be read only once, cannot be read, or hold something else than Arrow batches.
    """
    if isinstance(data, str | os.PathLike):
        return _open_path(Path(data))
    module = type(data).__module__.split(".")[0]
    if module in ("duckdb", "_duckdb"):
        return _open_query(data)
    if module == "dask" and hasattr(data, "to_delayed"):
        return DaskRows(tuple(data.columns), data)
    if module == "pyarrow":
        return _open_arrow(data)
    if callable(data):
        return _open_function(data, f"the function {getattr(data, '__name__', 'given')}")
    if isinstance(data, Iterator):
        raise _read_once(f"an iterator of type {type(data).__name__}")
    if not hasattr(data, "__iter__") or isinstance(data, Mapping) or hasattr(data, "columns"):
        return None
    first = next(iter(data), None)
    return _open_function(lambda: data, "the batches") if hasattr(first, "__arrow_c_stream__") else None


def _open_path(path: Path) -> Stream:
    dataset = _arrow("pyarrow.dataset", f"read {path}")
    if not path.exists():
        raise DataError(f"There is no file or folder {str(path)!r}; expected one of parquet files.")
    try:
        found = dataset.dataset(path, format="parquet", partitioning="hive" if path.is_dir() else None)
        if path.is_dir() and not found.files:
            raise DataError(f"The folder {str(path)!r} has no files; expected parquet files in it.")
        return _open_fragments(found)
    except (OSError, ValueError) as error:
        raise _cannot_read(error, str(path)) from error


def _open_arrow(data: Any) -> Stream | None:
    import pyarrow as pa
    import pyarrow.dataset as dataset

    if isinstance(data, dataset.Dataset):
        return _open_fragments(data)
    if isinstance(data, pa.RecordBatchReader) or isinstance(data, Iterator):
        raise _read_once(f"a {type(data).__name__}")
    if type(data).__name__ == "ParquetFile":
        return Stream(
            tuple(data.schema_arrow.names),
            lambda schema: (("the file", b) for b in data.iter_batches(AT_MOST, columns=schema.columns)),
            data.metadata.num_rows,
        )
    return None


def _open_fragments(data: Any) -> Stream:
    """Open an Arrow data set: its files one after the other, so that errors name them."""
    from pyarrow.dataset import get_partition_keys

    def batches(schema: Schema) -> Batches:
        for place, fragment in enumerate(data.get_fragments()):
            name = str(getattr(fragment, "path", f"part {place + 1}"))
            try:
                # Arrow would fill a lacking column with missing values, and convert one of another type.
                schema.check(
                    fragment.physical_schema, name, get_partition_keys(fragment.partition_expression)
                )
                for batch in fragment.to_batches(
                    schema=data.schema, columns=schema.columns, batch_size=AT_MOST
                ):
                    yield name, batch
            except (OSError, ValueError, TypeError, NotImplementedError) as error:
                raise _cannot_read(error, name) from error

    return Stream(tuple(data.schema.names), batches, data.count_rows())


def _open_query(relation: Any) -> Stream:
    if not hasattr(relation, "columns"):
        raise DataError(
            f"data is a {type(relation).__name__} of DuckDB; expected a relation, such as "
            f"connection.sql('...')."
        )

    def batches(schema: Schema) -> Batches:
        quoted = ['"' + name.replace('"', '""') + '"' for name in schema.columns]
        chosen = relation.project(", ".join(quoted))
        reader = getattr(chosen, "to_arrow_reader", None) or chosen.fetch_arrow_reader
        for batch in reader(AT_MOST):
            yield "the query", batch

    return Stream(tuple(relation.columns), batches)


def _open_function(function: Callable[[], Any], what: str) -> Stream:
    """Open what returns an iterable of batches each time it is called."""
    pa = _arrow("pyarrow", "read Arrow batches")
    first = function()
    table = next(_tables(pa, first, what), None)
    if table is None:
        raise DataError(f"{what} gave no batches; expected at least one.")
    if isinstance(first, Iterator) and function() is first:
        raise _read_once(f"given by {what}, which returns the same iterator again,")

    def batches(schema: Schema) -> Batches:
        for place, table in enumerate(_tables(pa, function(), what)):
            name = f"batch {place + 1}"
            schema.check(table.schema, name)
            yield name, table.select(schema.columns)

    return Stream(tuple(table.schema.names), batches)


def _tables(pa: Any, batches: Any, what: str) -> Iterator[Any]:
    if not hasattr(batches, "__iter__"):
        raise DataError(
            f"{what} gave a {type(batches).__name__}; expected an iterator of Arrow record batches."
        )
    for batch in batches:
        if isinstance(batch, pa.RecordBatch):
            yield pa.Table.from_batches([batch])
        elif hasattr(batch, "__arrow_c_stream__"):
            yield pa.table(batch)
        else:
            raise DataError(
                f"{what} gave a value of type {type(batch).__name__}; expected Arrow record batches or "
                f"tables."
            )


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


def _read_once(what: str) -> DataError:
    return DataError(
        f"data is {what} and can be read once only, but a fit reads its rows twice; expected batches that "
        f"can be read again, so pass a function that returns a new iterator."
    )


def _cannot_read(error: Exception, what: str) -> DataError:
    if isinstance(error, DataError):
        return error
    reason = " ".join(str(error).split()).rstrip(".")
    return DataError(
        f"Cannot read {what}: {reason}; expected whole Arrow data that stay as they are during a fit."
    )


def _arrow(module: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"pyarrow is needed to {purpose}, and is not installed; install it with "
            f"pip install 'jaxmixed[data]'."
        ) from None
