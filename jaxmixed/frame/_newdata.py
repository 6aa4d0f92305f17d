"""New data in the coding of the fit: kept specs, kept levels, nothing learnt anew."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from formulaic import ModelSpecs

from ._check import row_values
from ._columns import Column, Factor, Numbers, read_column, read_factor
from ._data import ModelFrame
from ._errors import DataError
from ._expressions import evaluate, names_in
from ._formula import NAME, plain
from ._groups import find_group, find_levels, name_rows
from ._matrices import Matrix, build_matrices, compile_parts
from ._source import Source, open_data, unknown_column
from ._terms import join_columns
from ._variables import add_offsets, complete_rows, covariate_frame
from ._words import listed


class NewTerm(NamedTuple):
    """New rows of one grouping factor: covariates z, shape (n, q), and level codes, -1 if none is known."""

    z: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class NewDesign:
    """New data as arrays.

    Attributes
    ----------
    X
        Fixed-effects matrix in the columns of the fit, shape (n, p); NaN where a covariate is missing.
    terms
        z and codes of each grouping factor, in the order of the fit; empty if not asked for.
    offset
        Known part of the mean, shape (n,), or `None` if the formula has none.
    index
        Labels of the rows.
    unseen
        For each grouping factor, the labels without a level in the fit, "missing" among them.
    """

    X: np.ndarray
    terms: tuple[NewTerm, ...]
    offset: np.ndarray | None
    index: pd.Index
    unseen: tuple[tuple[Any, ...], ...]


def new_design(
    frame: ModelFrame, newdata: Any, random: bool = True, offset: Any = None, levels: bool = True
) -> NewDesign:
    """Read new data for a prediction from a fitted model.

    Transforms keep what they learnt in the fit, and factors their levels. Rows with a missing
    covariate stay, as NaN.

    Parameters
    ----------
    frame
        The model.
    newdata
        A frame with the columns of the right-hand side; the response is not needed.
    random
        Whether to read the random terms too; if not, their columns may be lacking.
    offset
        A further offset for the new rows, a column's name or one number for each row.
    levels
        Whether to read the grouping factors of the random terms; if not, no level is known.

    Raises
    ------
    DataError
        If a column is lacking or of another kind, or a fixed-effects factor has an unseen level.
    """
    source = open_data(newdata, "newdata")
    given = None if offset is None else row_values(offset, "offset", source)
    n, bars = len(source), frame.formula.bars if random else ()
    parts = frame.parts if random else (frame.formula.fixed,)
    columns = {name: _covariate(frame, source, name) for name in _needed(frame, parts, random and levels)}
    complete = np.flatnonzero(complete_rows([columns], given, n)[0])
    data = covariate_frame(
        {name: column.take(complete) for name, column in columns.items()},
        frame.variables.in_calls,
        len(complete),
    )

    def spread(values: np.ndarray, fill: Any = np.nan) -> np.ndarray:
        """Put the values of the complete rows into all n rows."""
        everywhere = np.full((n, *values.shape[1:]), fill, dtype=values.dtype)
        everywhere[complete] = values
        return everywhere

    matrices = _rebuild(frame, parts, data)
    total = add_offsets(
        frame.formula.offsets, data, None if given is None else given[complete], frame.context, frame.state
    )
    terms, unseen = [], []
    for labels in frame.groups if random else ():
        z = join_columns([bar for bar in bars if bar.group == labels.group], matrices)
        group = labels.group if levels else ()
        factors = [_factor(frame, source, expression, data, spread) for expression in group]
        codes = find_group(factors, labels) if levels else np.full(n, -1)
        terms.append(NewTerm(spread(z), codes))
        unseen.append(tuple(name_rows(factors, codes < 0)) if levels else ())
    return NewDesign(
        X=spread(matrices[frame.formula.fixed].values[:, frame.independent]),
        terms=tuple(terms),
        offset=None if total is None else spread(total),
        index=source.index,
        unseen=tuple(unseen),
    )


def unseen_levels(frame: ModelFrame, new: NewDesign) -> None:
    """Raise a DataError if new rows belong to levels of a grouping factor that the fit did not see."""
    for labels, unseen in zip(frame.groups, new.unseen, strict=True):
        if unseen:
            raise DataError(
                f"newdata has levels of {labels.name!r} that the fit did not see: {listed(unseen)}"
                f"{_other_type(unseen, labels.levels)}; expected known levels such as "
                f"{listed(labels.levels, 3)}, so correct them, leave these rows out, or pass "
                f"new_levels='population' or 'missing'."
            )


def _other_type(unseen: Iterable[Any], levels: Iterable[Any]) -> str:
    """Say that an unseen label is written as a known level is, but is of another type."""

    def described(value: Any) -> str:
        return f"the text {value!r}" if isinstance(value, str) else f"the {type(value).__name__} {value}"

    known = {str(level): level for level in levels}
    for label in unseen:
        if str(label) in known:
            level = known[str(label)]
            if type(label) is type(level):  # of an interaction, whose levels are text
                return " (in columns of another type than in the fit)"
            return f" (found {described(label)}, while the fit has {described(level)})"
    return ""


def _needed(frame: ModelFrame, parts: tuple[str, ...], levels: bool) -> Iterable[str]:
    names = [name for name, _ in compile_parts(parts)[1]]
    expressions = list(frame.formula.offsets)
    if levels:
        expressions += [item for labels in frame.groups for item in labels.group if not NAME.fullmatch(item)]
    names += [name for expression in expressions for name in names_in(expression)]
    return [name for name in dict.fromkeys(names) if name in frame.variables.covariates]


def _lookup(frame: ModelFrame, source: Source, name: str) -> pd.Series:
    if name not in source:
        raise unknown_column(name, source.columns, f"the formula {frame.formula.text!r}", "newdata")
    return source.read(name)


def _covariate(frame: ModelFrame, source: Source, name: str) -> Column:
    series = _lookup(frame, source, name)
    if name in frame.factors:
        column, levels = read_factor(series), frame.factors[name]
        codes = find_levels(column, levels)
        unseen = (codes < 0) & ~column.missing
        if unseen.any():
            labels = name_rows([column], unseen)
            raise DataError(
                f"newdata has levels of {name!r} that the fit did not see: {listed(labels)}"
                f"{_other_type(labels, levels)}; expected {listed(levels)}, "
                f"so leave these rows out or correct them."
            )
        return Factor(codes, levels)
    column = read_column(series)
    if isinstance(column, Numbers):
        return column
    if column.missing.all():
        return Numbers(np.full(len(series), np.nan))
    raise DataError(
        f"Column {name!r} of newdata is not numeric (it holds {column.levels[0]!r}, for one); "
        f"expected numbers as in the fitted data, so convert it."
    )


def _factor(frame: ModelFrame, source: Source, expression: str, data: pd.DataFrame, spread: Any) -> Factor:
    if NAME.fullmatch(expression):
        return read_factor(_lookup(frame, source, plain(expression)))
    column = read_factor(evaluate(expression, data, frame.context, frame.state))
    return Factor(spread(column.codes, -1), column.levels)


def _rebuild(frame: ModelFrame, parts: tuple[str, ...], data: pd.DataFrame) -> dict[str, Matrix]:
    specs = frame.specs
    if specs is not None:
        kept = {f"part{i}": specs[f"part{i}"] for i in range(len(parts)) if f"part{i}" in specs}
        specs = ModelSpecs(**kept) if kept else None
    if specs is not None and len(data) == 0:
        empty = {
            part: Matrix(np.empty((0, len(specs[f"part{i}"].column_names))), (), {})
            for i, part in enumerate(parts)
            if f"part{i}" in specs
        }
        return build_matrices((), None, data, {})[0] | empty
    return build_matrices(parts, specs, data, frame.context)[0]
