"""Rows in the partitions of a Dask data frame: one map and a tree of merges, on any number of machines.

What travels is what a pass leaves of its rows: levels, a sample, sums. Totals are merged into new ones, so
that the partitions of a worker that is lost can be added up again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._source import open_data
from ._stream_batch import Reading, T, take_in

AT_A_TIME = 8  # totals that are merged into one


@dataclass(frozen=True)
class DaskRows:
    """The rows of a Dask data frame.

    Attributes
    ----------
    columns
        Names of all columns.
    data
        The data frame.
    """

    columns: tuple[str, ...]
    data: Any

    def total(self, reading: Reading, start: Callable[[], T]) -> T:
        """Go through all rows once, on the workers of the current client or on threads."""
        from dask.delayed import delayed

        one, several = delayed(_of_partition), delayed(_merged)
        shared = delayed((reading, start), traverse=False)
        partitions = self.data[reading.columns].to_delayed()
        totals = [one(shared, part, f"partition {i + 1}") for i, part in enumerate(partitions)]
        while len(totals) > 1:
            totals = [several(shared, totals[i : i + AT_A_TIME]) for i in range(0, len(totals), AT_A_TIME)]
        return totals[0].compute()


def _of_partition(shared: tuple[Reading, Callable[[], T]], rows: Any, where: str) -> T:
    reading, start = shared
    total = start()
    take_in(total, reading, open_data(rows), where)
    return total


def _merged(shared: tuple[Reading, Callable[[], T]], parts: list[T]) -> T:
    total = shared[1]()
    for part in parts:
        total.merge(part)
    return total
