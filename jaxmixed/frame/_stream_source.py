"""Rows that come in Arrow batches: files, data sets, queries, iterators, each read anew for every pass.

Every piece (a file, a partition, a batch of an iterator) has a name, which errors say.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ._columns import Source
from ._errors import DataError

AT_LEAST = 2**16  # rows of a batch: smaller ones are joined
AT_MOST = 2**18  # larger ones are cut


class Piece(NamedTuple):
    """Some rows, and what to call the place they come from."""

    name: str
    source: Source


@dataclass(frozen=True)
class Stream:
    """Rows that can be read several times.

    Attributes
    ----------
    columns
        Names of all columns.
    open
        Returns the Arrow batches, each with its name, given the columns that are wanted.
    n_rows
        Number of rows, if it is known beforehand.
    """

    columns: tuple[str, ...]
    open: Callable[[list[str]], Iterable[tuple[str, Any]]]
    n_rows: int | None = None

    def read(self, columns: list[str]) -> Iterator[Piece]:
        """Read some columns once, in batches of a size that is good for arithmetic."""
        name, waiting, rows = "data", [], 0
        kinds: dict[str, str] = {}
        batches = iter(self.open(columns))
        while True:
            try:
                found = next(batches, None)
            except (OSError, ValueError, TypeError, ArithmeticError) as error:
                raise _cannot_read(error, after=name) from error
            if found is not None:
                here, batch = found
                _check_schema(batch.schema, columns, kinds, here)
            if waiting and (found is None or found[0] != name or rows >= AT_LEAST):
                yield from _cut(name, waiting, columns)
                waiting, rows = [], 0
            if found is None:
                return
            name, batch = found
            waiting.append(batch)
            rows += batch.num_rows


def open_stream(data: Any) -> Stream | None:
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
    dataset = _arrow("dataset", f"read {path}")
    if not path.exists():
        raise DataError(f"There is no file or folder {str(path)!r}; expected one of parquet files.")
    try:
        found = dataset.dataset(path, format="parquet", partitioning="hive" if path.is_dir() else None)
        if path.is_dir() and not found.files:
            raise DataError(f"The folder {str(path)!r} has no files; expected parquet files in it.")
        return _open_fragments(found)
    except (OSError, ValueError) as error:
        raise error if isinstance(error, DataError) else _cannot_read(error) from error


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
            lambda columns: (("the file", b) for b in data.iter_batches(AT_MOST, columns=columns)),
            data.metadata.num_rows,
        )
    return None


def _open_fragments(data: Any) -> Stream:
    """Open an Arrow data set: its files one after the other, so that errors name them."""
    names = data.schema.names
    partitioning = getattr(data, "partitioning", None)
    in_paths = set() if partitioning is None else set(partitioning.schema.names)

    def batches(columns: list[str]) -> Iterator[tuple[str, Any]]:
        for place, fragment in enumerate(data.get_fragments()):
            name = str(getattr(fragment, "path", f"part {place + 1}"))
            try:
                own = fragment.physical_schema.names
                lost = [column for column in columns if column not in own and column not in in_paths]
                if lost:
                    raise DataError(
                        f"The column {lost[0]!r} is missing in {name}; expected the same columns in every part of "
                        f"the data."
                    )
                for batch in fragment.to_batches(schema=data.schema, columns=columns, batch_size=AT_MOST):
                    yield name, batch
            except (OSError, ValueError, TypeError, NotImplementedError) as error:
                raise error if isinstance(error, DataError) else _cannot_read(error, name) from error

    return Stream(tuple(names), batches, data.count_rows())


def _open_query(relation: Any) -> Stream:
    if not hasattr(relation, "columns"):
        raise DataError(
            f"data is a {type(relation).__name__} of DuckDB; expected a relation, such as connection.sql('...')."
        )

    def batches(columns: list[str]) -> Iterator[tuple[str, Any]]:
        chosen = relation.project(", ".join('"' + name.replace('"', '""') + '"' for name in columns))
        reader = getattr(chosen, "to_arrow_reader", None) or chosen.fetch_arrow_reader
        for batch in reader(AT_MOST):
            yield "the query", batch

    return Stream(tuple(relation.columns), batches)


def _open_function(function: Callable[[], Any], what: str) -> Stream:
    """Open what returns an iterable of batches each time it is called."""
    pa = _arrow("", "read Arrow batches")
    first = function()
    table = next(_tables(pa, first, what), None)
    if table is None:
        raise DataError(f"{what} gave no batches; expected at least one.")
    again = function()
    if again is first and isinstance(again, Iterator):
        raise _read_once(f"{what}, which returns the same iterator again,")

    def batches(columns: list[str]) -> Iterator[tuple[str, Any]]:
        for place, table in enumerate(_tables(pa, function(), what)):
            name = f"batch {place + 1}"
            lost = [column for column in columns if column not in table.schema.names]
            if lost:
                raise DataError(
                    f"The column {lost[0]!r} is missing in {name}; expected the same columns in every batch."
                )
            yield f"batch {place + 1}", table.select(columns)

    return Stream(tuple(table.schema.names), batches)


def _tables(pa: Any, batches: Any, what: str) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, pa.RecordBatch):
            yield pa.Table.from_batches([batch])
        elif hasattr(batch, "__arrow_c_stream__"):
            yield pa.table(batch)
        else:
            raise DataError(
                f"{what} gave a value of type {type(batch).__name__}; expected Arrow record batches or tables."
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


def _check_schema(schema: Any, columns: list[str], kinds: dict[str, str], name: str) -> None:
    """Check that columns are numbers, text or truth values wherever they are."""
    import pyarrow.types as types

    for column in columns:
        kind = schema.field(column).type
        if types.is_null(kind):
            continue
        if types.is_dictionary(kind):
            kind = kind.value_type
        numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        found = "numbers" if numeric else "text" if text else str(kind)
        known = kinds.setdefault(column, found)
        if found != known:
            raise DataError(
                f"The column {column!r} holds {found} in {name} and {known} before; expected one type throughout, "
                f"so convert one of them."
            )


def _read_once(what: str) -> DataError:
    return DataError(
        f"data is {what} and can be read once only, but a fit reads its rows twice; expected batches that can be "
        f"read again, so pass a function that returns a new iterator."
    )


def _cannot_read(error: Exception, name: str | None = None, after: str | None = None) -> DataError:
    if isinstance(error, DataError):
        return error
    where = f" {name}" if name else f" what comes after {after}" if after else " data"
    reason = " ".join(str(error).split()).rstrip(".")
    return DataError(
        f"Cannot read{where}: {reason}; expected whole files of Arrow data that stay as they are during a fit."
    )


def _arrow(module: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"pyarrow.{module}" if module else "pyarrow")
    except ImportError:
        raise DataError(
            f"pyarrow is needed to {purpose}, and is not installed; install it with "
            f"pip install 'jaxmixed[data]'."
        ) from None
