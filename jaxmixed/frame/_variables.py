"""The variables of a formula: which columns it uses, which rows are complete, their values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd

from ._check import check_finite
from ._columns import Column, Factor, Numbers, read_column, read_factor
from ._errors import DataError
from ._expressions import evaluate, in_scope, names_in
from ._formula import NAME, ParsedFormula, plain
from ._source import Source, unknown_column


@dataclass(frozen=True)
class Variables:
    """The columns a formula uses.

    Attributes
    ----------
    fixed
        Covariates, by the name used in expressions, of the fixed part and the bars' columns.
    other
        Those of the response, the offsets, and grouping expressions that are not a plain name.
    grouping
        Columns that are grouping factors, or factors of their interactions.
    in_calls
        Covariates used inside calls, where a boolean is a number and not a factor.
    """

    fixed: tuple[str, ...]
    other: tuple[str, ...]
    grouping: tuple[str, ...]
    in_calls: frozenset[str]

    @cached_property
    def covariates(self) -> tuple[str, ...]:
        """All columns read as covariates."""
        return tuple(dict.fromkeys(self.other + self.fixed))


def find_variables(
    parsed: ParsedFormula, used: tuple[tuple[str, bool], ...], source: Source, context: Mapping[str, Any]
) -> Variables:
    """Find the columns a formula uses, given the names in its matrices and whether each is in a call.

    Raises
    ------
    DataError
        If a name is neither a column nor in scope.
    """
    named = _named(parsed, used)
    if all([name in source for name in named.covariates + named.grouping]):
        return named

    def columns(names: Iterable[str]) -> tuple[str, ...]:
        """Leave out the names that are no column but mean something, inside calls or in the context."""
        found = []
        for name in names:
            if name in source:
                found.append(name)
            elif name not in context and not (name in named.in_calls and in_scope(name)):
                raise unknown_column(name, source.columns, f"the formula {parsed.text!r}")
        return tuple(found)

    return Variables(columns(named.fixed), columns(named.other), columns(named.grouping), named.in_calls)


@lru_cache(maxsize=256)
def _named(parsed: ParsedFormula, used: tuple[tuple[str, bool], ...]) -> Variables:
    """Return the names in a formula as if all were columns."""
    factors = dict.fromkeys(factor for bar in parsed.bars for factor in bar.group)
    expressions = [factor for factor in factors if not NAME.fullmatch(factor)]
    other, in_calls = [], {name for name, in_call in used if in_call}
    for expression in filter(None, [parsed.response, *parsed.offsets, *expressions]):
        other += names_in(expression)
        in_calls |= set() if NAME.fullmatch(expression) else set(names_in(expression))
    grouping = [plain(factor) for factor in factors if NAME.fullmatch(factor)]
    fixed, other, grouping = (
        tuple(dict.fromkeys(names)) for names in ([name for name, _ in used], other, grouping)
    )
    return Variables(fixed, other, grouping, frozenset(in_calls))


def read(variables: Variables, source: Source) -> tuple[dict[str, Column], dict[str, Factor]]:
    """Read the covariates, and the grouping columns as factors."""
    columns = {name: read_column(source.read(name)) for name in variables.covariates}
    factors = {}
    for name in variables.grouping:
        column = columns.get(name)
        factors[name] = column if isinstance(column, Factor) else read_factor(source.read(name))
    return columns, factors


def complete_rows(
    groups: Iterable[Mapping[str, Column]], offset: np.ndarray | None, n: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which rows have no missing value, and how many are missing in each variable that has any."""
    keep, missing = np.ones(n, dtype=bool), {}
    named = [pair for columns in groups for pair in columns.items()]
    masks = [(name, column.missing) for name, column in named if not column.complete]
    if offset is not None:
        masks.append(("offset", np.isnan(offset)))
    for name, mask in masks:
        if mask.any():
            missing[name] = int(mask.sum())
            keep &= ~mask
    return keep, missing


def observed(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Keep of factors the levels that occur."""
    return {
        name: column.observed() if isinstance(column, Factor) else column for name, column in columns.items()
    }


@dataclass(frozen=True, eq=False)
class Covariates:
    """Complete covariates as expressions see them: pandas takes longer for their frame than a small fit.

    Attributes
    ----------
    columns
        By the name used in expressions.
    in_calls
        Those used inside calls, where a boolean is a number and not a factor.
    n
        Number of rows.
    """

    columns: Mapping[str, Column]
    in_calls: frozenset[str]
    n: int

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A frame of them, made when first asked for."""
        return covariate_frame(self.columns, self.in_calls, self.n)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, name: str) -> pd.Series:
        return cast(pd.Series, self.frame[name])


def check_numbers(columns: Mapping[str, Column]) -> None:
    """Check that columns of numbers are finite."""
    for name, column in columns.items():
        if isinstance(column, Numbers) and not column.finite:
            check_finite(column.values, name)


def covariate_frame(columns: Mapping[str, Column], in_calls: frozenset[str], n: int) -> pd.DataFrame:
    """Return complete covariates as a pandas frame for formulaic, after checking that they are finite."""
    check_numbers(columns)
    data: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, Numbers):
            data[name] = column.values
        elif name in in_calls and column.levels.inferred_type == "boolean":
            data[name] = column.levels.to_numpy(dtype=bool)[column.codes]
        else:
            data[name] = pd.Categorical.from_codes(column.codes, categories=column.levels)
    return pd.DataFrame(data, index=pd.RangeIndex(n))


def response(
    expression: str, columns: Mapping[str, Column], frame: pd.DataFrame, context: Mapping
) -> np.ndarray:
    """Return the response as float64, shape (n,)."""
    name = plain(expression)
    column = columns.get(name)
    if isinstance(column, Numbers):
        return column.values
    values = frame[name] if column else evaluate(expression, frame, context, {})
    if not pd.api.types.is_numeric_dtype(values.dtype) or values.dtype == bool:
        raise DataError(
            f"The response {name!r} is not numeric (it holds {values.iloc[0]!r}, for one); expected numbers, "
            f"so convert it or choose another column."
        )
    values = values.to_numpy(dtype=np.float64)
    check_finite(values, name)
    return values


def add_offsets(
    expressions: tuple[str, ...], frame: pd.DataFrame, given: np.ndarray | None, context: Mapping, state: dict
) -> np.ndarray | None:
    """Return the sum of the formula's offsets and the one given, or `None` without any."""
    total = given
    if given is not None:
        check_finite(given, "offset")
    for expression in expressions:
        name = plain(expression)
        values = frame[name] if name in frame else evaluate(expression, frame, context, state)
        if not pd.api.types.is_numeric_dtype(values.dtype):
            raise DataError(
                f"The offset {name!r} is not numeric; expected a number for each row, so convert it."
            )
        values = values.to_numpy(dtype=np.float64)
        check_finite(values, name)
        total = values if total is None else total + values
    return total
