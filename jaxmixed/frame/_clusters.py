"""The column that says which cluster, or which data set, a row belongs to."""

from typing import Any

from ._columns import Factor, read_factor
from ._errors import DataError
from ._source import open_data, unknown_column


def read_clusters(data: Any, by: str) -> Factor:
    """Read the column `by` as a factor, of those levels that occur; rows may be missing."""
    source = open_data(data)
    if not isinstance(by, str):
        raise DataError(f"by is {by!r}, of type {type(by).__name__}; expected the name of one column.")
    if by not in source:
        raise unknown_column(by, source.columns, "by")
    factor = read_factor(source.read(by)).observed()
    if not len(factor.levels):
        raise DataError(
            f"by names the column {by!r}, all of whose values are missing; expected a cluster in each row."
        )
    return factor
