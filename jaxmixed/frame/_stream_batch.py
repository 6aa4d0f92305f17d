"""One batch of rows in the terms of a model: complete rows, their covariates, weights and offset."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from . import _check as check
from ._columns import Column, Factor
from ._errors import DataError
from ._formula import ParsedFormula, plain
from ._groups import find_levels
from ._matrices import compile_parts
from ._source import Source
from ._variables import (
    Variables,
    add_offsets,
    complete_rows,
    covariate_frame,
    find_variables,
    read,
    response,
)


@dataclass(frozen=True)
class Reading:
    """What is read of every batch.

    Attributes
    ----------
    formula, variables, parts, context
        As in `ModelFrame`.
    weights, offset
        Columns of prior weights, and of an offset.
    columns
        All columns that are read.
    """

    formula: ParsedFormula
    variables: Variables
    parts: tuple[str, ...]
    weights: str | None
    offset: str | None
    context: Mapping[str, Any]
    columns: list[str]


@dataclass(frozen=True)
class Batch:
    """The complete rows of a batch, with the levels that occur in it.

    Attributes
    ----------
    columns, factors
        Covariates and grouping columns.
    weights, offset
        Shape (n,), or `None`.
    n_rows, dropped_by
        Number of rows with those that were dropped; missing values of each variable that has any.
    """

    columns: dict[str, Column]
    factors: dict[str, Factor]
    weights: np.ndarray | None
    offset: np.ndarray | None
    n: int
    n_rows: int
    dropped_by: dict[str, int]

    def take(self, rows: np.ndarray, grouping: bool = True) -> "Batch":
        """Keep some rows, with or without the grouping columns."""

        def some(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        columns = {name: column.take(rows) for name, column in self.columns.items()}
        factors = {name: column.take(rows) for name, column in self.factors.items()} if grouping else {}
        return Batch(columns, factors, some(self.weights), some(self.offset), len(rows), len(rows), {})

    def frame(self, reading: Reading) -> pd.DataFrame:
        """Return the covariates as expressions see them."""
        return covariate_frame(self.columns, reading.variables.in_calls, self.n)

    def with_levels(self, levels: Mapping[str, pd.Index]) -> "Batch":
        """Code the covariates that are factors by the levels of all rows."""
        columns = dict(self.columns)
        for name, known in levels.items():
            column = columns[name]
            assert isinstance(column, Factor)
            codes = find_levels(column, known)
            if (codes < 0).any():
                raise DataError(
                    f"The column {name!r} has levels that were not there at first; expected data that stay "
                    f"as they are during a fit."
                )
            columns[name] = Factor(codes, known)
        return Batch(columns, self.factors, self.weights, self.offset, self.n, self.n_rows, self.dropped_by)


class Total(Protocol):
    """Something that takes in rows, in any order, and others of its kind."""

    def update(self, batch: Batch) -> None:
        """Take in the complete rows of a batch."""
        ...

    def merge(self, other: Any) -> None:
        """Take in what another has of other rows, and leave that one as it is."""
        ...


T = TypeVar("T", bound=Total)


class Rows(Protocol):
    """Rows that can be gone through several times, wherever they are."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        ...

    def total(self, reading: Reading, start: Callable[[], T]) -> T:
        """Return what `start` makes after it has taken in all rows."""
        ...


def plan_reading(
    parsed: ParsedFormula, columns: tuple[str, ...], weights: Any, offset: Any, context: Mapping[str, Any]
) -> Reading:
    """Find out which columns a model needs.

    Raises
    ------
    DataError
        If one is not there, or weights or offset are not names of columns.
    """
    for name, given in (("weights", weights), ("offset", offset)):
        if given is not None and not isinstance(given, str):
            raise DataError(
                f"{name} is of type {type(given).__name__}; expected the name of a column where data are "
                f"read in batches, so write it there with the rows."
            )
    parts = tuple(dict.fromkeys([parsed.fixed, *(bar.columns for bar in parsed.bars)]))
    empty = Source(pd.Index(columns), pd.RangeIndex(0), lambda name: pd.Series(name=name, dtype=float))
    variables = find_variables(parsed, compile_parts(parts)[1], empty, context)
    for name, given in (("weights", weights), ("offset", offset)):
        if given is not None:
            check.row_values(given, name, empty)
    names = [
        *variables.covariates,
        *variables.grouping,
        *(name for name in (weights, offset) if name is not None),
    ]
    used = list(dict.fromkeys(empty.name_of(name) for name in names))
    return Reading(parsed, variables, parts, weights, offset, context, used)


def take_in(total: Total, reading: Reading, source: Source, where: str) -> None:
    """Read a batch into a total; errors say where the rows are from."""
    try:
        total.update(read_batch(reading, source))
    except DataError as error:
        raise DataError(f"In {where}: {error}") from error


def read_batch(reading: Reading, source: Source) -> Batch:
    """Read a batch and drop its incomplete rows."""
    columns, factors = read(reading.variables, source)
    weights = None if reading.weights is None else check.row_values(reading.weights, "weights", source)
    offset = None if reading.offset is None else check.row_values(reading.offset, "offset", source)
    keep, dropped_by = complete_rows([columns, factors], offset, len(source))
    whole = Batch(columns, factors, weights, offset, len(source), len(source), {})
    kept = whole if keep.all() else whole.take(np.flatnonzero(keep))
    if kept.weights is not None:
        check.check_weights(kept.weights)
    return Batch(kept.columns, kept.factors, kept.weights, kept.offset, kept.n, len(source), dropped_by)


def response_of(
    reading: Reading, batch: Batch, frame: pd.DataFrame, state: dict
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the response and the whole offset."""
    offset = add_offsets(reading.formula.offsets, frame, batch.offset, reading.context, state)
    name = plain(reading.formula.response)
    column = batch.columns.get(name)
    return response(
        reading.formula.response, {} if column is None else {name: column}, frame, reading.context
    ), offset
