"""What can be read in batches: files, data sets, queries, iterators, the partitions of a Dask data frame."""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ._errors import DataError
from ._stream_batch import Rows
from ._stream_dask import DaskRows
from ._stream_source import AT_MOST, Batches, Schema, Stream, cannot_read


def open_stream(data: Any) -> Rows | None:
    """Open data that are read in batches; `None` if they are something else.

    Raises
    ------
    DataError
        If the data can be read only once, cannot be read, or hold something else than Arrow batches.
    """
    if isinstance(data, pd.DataFrame):
        return None
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
        raise cannot_read(error, str(path)) from error


def _open_arrow(data: Any) -> Stream | None:
    import pyarrow as pa
    import pyarrow.dataset as dataset

    if isinstance(data, dataset.Dataset):
        return _open_fragments(data)
    if isinstance(data, pa.RecordBatchReader) or isinstance(data, Iterator):
        raise _read_once(f"a {type(data).__name__}")
    return None


def _open_fragments(data: Any) -> Stream:
    """Open an Arrow data set: its files one after the other, so that errors name them."""

    def batches(schema: Schema) -> Batches:
        for place, fragment in enumerate(data.get_fragments()):
            name = str(getattr(fragment, "path", f"part {place + 1}"))
            try:
                for batch in _of_fragment(data, fragment, schema, name):
                    yield name, batch
            except (OSError, ValueError, TypeError, NotImplementedError) as error:
                raise cannot_read(error, name) from error

    return Stream(tuple(data.schema.names), batches, data.count_rows())


def _of_fragment(data: Any, fragment: Any, schema: Schema, name: str) -> Iterator[Any]:
    """Read one file. Arrow's scanner would fill a lacking column, and read ahead without a bound."""
    import pyarrow as pa
    import pyarrow.dataset as dataset
    import pyarrow.parquet as parquet

    in_path = dataset.get_partition_keys(fragment.partition_expression)
    schema.check(fragment.physical_schema, name, in_path)
    if not isinstance(fragment, dataset.ParquetFileFragment):
        yield from fragment.to_batches(schema=data.schema, columns=schema.columns, batch_size=AT_MOST)
        return
    own = [column for column in schema.columns if column not in in_path]
    with fragment.open() as file:
        for batch in parquet.ParquetFile(file, pre_buffer=False).iter_batches(AT_MOST, columns=own):
            table = pa.Table.from_batches([batch])
            for column in schema.columns:
                if column in in_path:
                    value = pa.scalar(in_path[column], data.schema.field(column).type)
                    table = table.append_column(column, pa.repeat(value, len(table)))
            yield table


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


def _read_once(what: str) -> DataError:
    return DataError(
        f"data is {what} and can be read once only, but a fit reads its rows twice; expected batches that "
        f"can be read again, so pass a function that returns a new iterator."
    )


def _arrow(module: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"pyarrow is needed to {purpose}, and is not installed; install it with "
            f"pip install 'jaxmixed[data]'."
        ) from None
