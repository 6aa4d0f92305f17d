"""From a formula and a data frame to a `Design` and its labels.

    formula + frame -> columns used -> complete rows -> matrices and level codes -> ModelFrame

Everything a user can get wrong is found here, before anything is compiled.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from ..core._design import Design
from . import _check as check
from ._columns import Factor
from ._errors import AliasedColumnsWarning, DroppedRowsWarning
from ._formula import ParsedFormula, parse, plain
from ._groups import GroupLabels
from ._known_matrices import fitted_matrices
from ._matrices import compile_parts
from ._rank import independent_columns
from ._reduced import Reduced
from ._source import open_data
from ._terms import random_terms
from ._variables import (
    Covariates,
    Variables,
    add_offsets,
    check_numbers,
    complete_rows,
    find_variables,
    observed,
    read,
    response,
)


@dataclass(frozen=True)
class ModelFrame:
    """A model as arrays, with the names and the state needed to treat new data alike.

    Attributes
    ----------
    formula
        The formula in its parts.
    design
        Response, matrices, codes, weights and offset as NumPy float64 (codes int64).
    response
        Name of the response; empty if the formula is one-sided.
    fixed_names
        Names of the columns of `design.X`.
    aliased
        Names of the columns left out of `design.X` as linear combinations of others.
    groups
        Labels of each of `design.terms`, in the same order.
    index
        Labels of the rows kept.
    kept
        Positions of the rows kept in the data given, shape (n,).
    n_dropped
        Number of rows dropped.
    dropped_by
        Number of missing values of each variable that has any.
    complete
        The covariates of the rows kept.
    reduced
        `None`, unless the rows were read in batches and those of the design stand for them.
    """

    formula: ParsedFormula
    design: Design
    response: str
    fixed_names: tuple[str, ...]
    aliased: tuple[str, ...]
    groups: tuple[GroupLabels, ...]
    index: pd.Index
    kept: np.ndarray
    n_dropped: int
    dropped_by: dict[str, int]
    variables: Variables = field(repr=False)
    complete: Covariates | pd.DataFrame = field(repr=False)
    factors: dict[str, pd.Index] = field(repr=False)
    parts: tuple[str, ...] = field(repr=False)
    specs: Any = field(repr=False)
    matrix_terms: dict[str, range] = field(repr=False)
    independent: np.ndarray = field(repr=False)
    state: dict = field(repr=False)
    context: Mapping[str, Any] = field(repr=False)
    reduced: Reduced | None = field(default=None, repr=False)

    @property
    def covariates(self) -> pd.DataFrame:
        """The covariates of the rows kept, as expressions see them: numbers, booleans, categories."""
        return self.complete.frame if isinstance(self.complete, Covariates) else self.complete

    @property
    def fixed_index(self) -> pd.Index:
        """`fixed_names`, for pandas."""
        return _index_of(self.fixed_names).view()

    @property
    def fixed_terms(self) -> dict[str, tuple[int, ...]]:
        """Positions in `fixed_names` of the columns of each fixed-effects term, in order."""
        place = np.cumsum(self.independent) - 1
        return {
            term: tuple(int(place[i]) for i in columns if self.independent[i])
            for term, columns in self.matrix_terms.items()
        }


@lru_cache(maxsize=256)
def _index_of(names: tuple[str, ...]) -> pd.Index:
    """Make an index once: pandas takes as long for one of text as we for an estimate."""
    return pd.Index(names)


def model_frame(
    formula: str,
    data: Any,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
    random: bool = True,
    one_sided: bool = False,
) -> ModelFrame:
    """Read a model from a formula and a data frame.

    Rows with a missing value in any variable of the model are dropped first, so that transforms
    such as `scale` and `poly` learn from the rows that are fitted. Text, categories and booleans
    are factors with treatment contrasts; only levels that occur count.

    Parameters
    ----------
    formula
        In lme4's language. It is code, evaluated as Python: it must not come from a stranger.
    data
        A pandas or polars frame, or any other that narwhals reads.
    weights
        Prior weights, the residual variance of row i being sigma^2 / w_i: the name of a column,
        or one positive number for each row of `data`, by position; a Series must have its row labels.
    offset
        Known part of the mean, in the same forms; added to the formula's `offset()` terms.
    context
        Further names, variables and functions, that the formula may use; columns come first.
    random
        Whether the formula must have random terms (a mixed model) or none (a regression).
    one_sided
        Whether the formula has no response: zeros stand for one in the design.

    Raises
    ------
    FormulaError, DataError
        Both ValueErrors, in one sentence: what was found, what was expected, and the remedy.

    Warns
    -----
    DroppedRowsWarning, AliasedColumnsWarning
    """
    parsed = parse(formula, one_sided)
    check.check_bars(parsed, random)
    source, context = open_data(data), dict(context or {})
    parts = tuple(dict.fromkeys([parsed.fixed, *(bar.columns for bar in parsed.bars)]))
    compiled, used = compile_parts(parts)
    variables = find_variables(parsed, used, source, context)
    w = None if weights is None else check.row_values(weights, "weights", source)
    given = None if offset is None else check.row_values(offset, "offset", source)

    columns, factors = read(variables, source)
    keep, dropped_by = complete_rows([columns, factors], given, len(source))
    if dropped_by:
        columns = {name: column.take(keep) for name, column in columns.items()}
        factors = {name: factor.take(keep) for name, factor in factors.items()}
    columns = observed(columns)
    kept = np.flatnonzero(keep)
    n, n_dropped = len(kept), len(source) - len(kept)
    check.check_rows(n, n_dropped, dropped_by)
    if w is not None:
        w = w[kept]
        check.check_weights(w)
    check_numbers(columns)
    covariates = Covariates(columns, variables.in_calls, n)
    state: dict = {}
    total = add_offsets(parsed.offsets, covariates, None if given is None else given[kept], context, state)
    y = np.zeros(n)
    if not one_sided:
        y = response(parsed.response, columns, covariates, context)
        check.check_response(y, total, plain(parsed.response))

    matrices, specs = fitted_matrices(parts, compiled, covariates, context)
    for matrix in [matrices[part] for part in parts]:
        check.check_left_side(parsed.response, matrix.terms)
        check.check_matrix(matrix.values, matrix.names)
    fixed = matrices[parsed.fixed]
    independent = independent_columns(fixed.values)
    check.check_columns(int(independent.sum()), n)
    weighted = w is not None and bool(np.ptp(w) > 0)
    terms, groups = random_terms(parsed.bars, matrices, factors, covariates, context, state, n, weighted)
    aliased = tuple(compress(fixed.names, ~independent))
    warn_of_data(n_dropped, len(source), dropped_by, aliased)
    return ModelFrame(
        formula=parsed,
        design=Design(
            y, fixed.values if independent.all() else fixed.values[:, independent], terms, w, total
        ),
        response=plain(parsed.response),
        fixed_names=tuple(compress(fixed.names, independent)),
        aliased=aliased,
        groups=groups,
        index=source.index[kept] if n_dropped else source.index,
        kept=kept,
        n_dropped=n_dropped,
        dropped_by=dropped_by,
        variables=variables,
        complete=covariates,
        factors={name: column.levels for name, column in columns.items() if isinstance(column, Factor)},
        parts=parts,
        specs=specs,
        matrix_terms=fixed.terms,
        independent=independent,
        state=state,
        context=context,
    )


def warn_of_data(n_dropped: int, n_rows: int, dropped_by: dict[str, int], aliased: tuple[str, ...]) -> None:
    """Warn of rows and columns that were left out."""
    caller_of_the_fit = 4  # warn_of_data, model_frame, the function that fits, its caller
    if n_dropped:
        counts = ", ".join(f"{name}: {count}" for name, count in dropped_by.items())
        was = "was" if n_dropped == 1 else "were"
        warnings.warn(
            f"{n_dropped} of {n_rows} rows {was} dropped for missing values ({counts}).",
            DroppedRowsWarning,
            stacklevel=caller_of_the_fit,
        )
    if aliased:
        verb = "columns are linear combinations" if len(aliased) > 1 else "column is a linear combination"
        warnings.warn(
            f"{len(aliased)} fixed-effects {verb} of the others and left out: {', '.join(aliased)}.",
            AliasedColumnsWarning,
            stacklevel=caller_of_the_fit,
        )
