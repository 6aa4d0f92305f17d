"""The rows of one frame as many data sets, each with the statistics that `lmer` would take of it.

Where the whole is read row by row, and a data set has all levels of every factor among the covariates, its
model frame is some rows of the whole's. Otherwise, and for the words of an error, it gets its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_residual, check_response
from ._columns import Factor
from ._data import ModelFrame, model_frame
from ._errors import DataError, FormulaError, JaxmixedWarning
from ._formula import parse
from ._jobs import Names
from ._labels import variance_labels
from ._matrices import compile_parts
from ._rowwise import is_rowwise
from ._source import open_data
from ._subset import subset
from ._variables import complete_rows, find_variables, read


@dataclass(frozen=True)
class DataSets:
    """Data sets that wait to be fitted.

    Attributes
    ----------
    formula, data, context
        As given.
    weights, offset
        One number for each row of the data, or `None`.
    rows
        Positions of the rows of each data set.
    nobs, n_dropped
        Rows without and with missing values, of each.
    whole
        The model frame of all rows, or `None` if none of it can be used.
    rows_of_whole
        Positions in `whole` of each data set's complete rows; `None` where it needs a frame of its own.
    """

    formula: str
    data: Any
    context: Mapping[str, Any] | None
    weights: np.ndarray | None
    offset: np.ndarray | None
    rows: list[np.ndarray]
    nobs: np.ndarray
    n_dropped: np.ndarray
    whole: ModelFrame | None
    rows_of_whole: list[np.ndarray | None]

    def statistics(self, i: int) -> tuple[core.SuffStats, Names] | str:
        """Return the statistics of one data set and the names of its parameters, or why there are none."""
        rows = self.rows_of_whole[i]
        if rows is not None and self.whole is not None:
            try:
                return _statistics(self.whole, rows)
            except DataError:
                pass  # its own frame says it in full
        try:
            return _statistics(self._own_frame(self.rows[i]), None)
        except (DataError, FormulaError) as error:
            return str(error)

    @property
    def names(self) -> Names:
        """Names of the parameters of the whole, as far as these are known."""
        return Names((), ("sigma",)) if self.whole is None else _names(self.whole)

    def _own_frame(self, rows: np.ndarray) -> ModelFrame:
        w, given = (None if values is None else values[rows] for values in (self.weights, self.offset))
        if isinstance(self.data, pd.DataFrame):
            part = self.data.iloc[rows]
        else:
            import narwhals as nw

            part = nw.from_native(self.data, eager_only=True)[rows.tolist()].to_native()
        return _quietly(self.formula, part, w, given, self.context)


def read_data_sets(
    formula: str,
    data: Any,
    clusters: Factor,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    context: Mapping[str, Any] | None,
) -> DataSets:
    """Read what data sets have in common.

    Raises
    ------
    FormulaError, DataError
        If the formula can be used with none of them.
    """
    parsed, source = parse(formula), open_data(data)
    parts = tuple(dict.fromkeys([parsed.fixed, *(bar.columns for bar in parsed.bars)]))
    variables = find_variables(parsed, compile_parts(parts)[1], source, context or {})
    try:
        whole = _quietly(formula, data, weights, offset, context)
    except DataError:  # some data sets may be right all the same
        whole = None
    n = len(clusters.levels)
    rows = _by_cluster(clusters.codes, n)
    complete = complete_rows(read(variables, source), offset, len(source))[0]
    nobs = np.bincount(clusters.codes[complete & (clusters.codes >= 0)], minlength=n)
    n_dropped = np.array([len(some) for some in rows]) - nobs
    rows_of_whole: list[np.ndarray | None] = [None] * n
    if whole is not None and is_rowwise(parsed, variables, source):
        codes = clusters.codes[whole.kept]
        usable = _have_all_levels(whole, codes, n)
        rows_of_whole = [own if use else None for own, use in zip(_by_cluster(codes, n), usable, strict=True)]
    return DataSets(formula, data, context, weights, offset, rows, nobs, n_dropped, whole, rows_of_whole)


def _quietly(*arguments: Any) -> ModelFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JaxmixedWarning)
        return model_frame(*arguments)


def _by_cluster(codes: np.ndarray, n: int) -> list[np.ndarray]:
    """Return the positions of the rows of each cluster, in order; those of code -1 are of none."""
    in_order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes + 1, minlength=n + 1))
    return np.split(in_order, ends[:-1])[1:]


def _have_all_levels(whole: ModelFrame, codes: np.ndarray, n: int) -> np.ndarray:
    """Tell which clusters have every level of every factor among the covariates."""
    usable = np.ones(n, bool)
    for name, levels in whole.factors.items():
        values = whole.covariates[name]
        own = values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype) else values
        met = np.zeros((n + 1, len(levels)), bool)
        met[codes, pd.factorize(own)[0]] = True  # those of no cluster in the last row
        usable &= met[:n].all(axis=1)
    return usable


def _names(frame: Any, aliased: tuple[str, ...] = ()) -> Names:
    return Names(frame.fixed_names, variance_labels(frame, "sdcor")[0], aliased)


def _statistics(frame: ModelFrame, rows: np.ndarray | None) -> tuple[core.SuffStats, Names]:
    """Take the statistics of a model frame, or of some of its rows."""
    design, names = frame.design, _names(frame, frame.aliased)
    if rows is not None:
        part = subset(frame, rows)
        design = part.design
        names = Names(part.terms, variance_labels(part, "sdcor")[0], (*frame.aliased, *part.aliased))
        check_response(design.y, design.offset, frame.response)
    prepared = core.condition(design)
    stats = core.assemble(prepared, core.plan(prepared), design.y, compress=True)
    check_residual(float(stats.scale), design.y, frame.response)
    return stats, names
