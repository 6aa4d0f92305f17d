"""Random-effects terms: one `RandomTerm` for each grouping factor, largest factor first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core._design import RandomTerm
from ._check import check_group, check_overlap, check_random_columns
from ._columns import Factor, read_factor
from ._errors import DataError
from ._expressions import evaluate
from ._formula import Bar, plain
from ._groups import GroupLabels, group
from ._matrices import Matrix


def random_terms(
    bars: Sequence[Bar],
    matrices: Mapping[str, Matrix],
    factors: Mapping[str, Factor],
    frame: pd.DataFrame,
    context: Mapping[str, Any],
    state: dict,
    n: int,
    weighted: bool,
) -> tuple[tuple[RandomTerm, ...], tuple[GroupLabels, ...]]:
    """Merge the bars of each grouping factor, code its levels, and check that they can be estimated.

    n is the number of rows that were read, and `weighted` says whether their weights differ. Factors come in
    order of decreasing number of levels, then of appearance, as in lme4.
    """
    found = []
    for factor in dict.fromkeys(bar.group for bar in bars):
        mine = [bar for bar in bars if bar.group == factor]
        columns = [grouping_column(expression, factors, frame, context, state) for expression in factor]
        grouping = group(columns)
        blocks = tuple(block for bar in mine for block in _blocks(bar, matrices[bar.columns].names))
        labels = GroupLabels(mine[0].name, blocks, factor, grouping.factors, grouping.pairs)
        check_overlap(labels.name, labels.columns)
        check_group(labels.name, labels.n_levels, blocks, n, weighted)
        z = join_columns(mine, matrices)
        check_random_columns(labels.name, labels.columns, z)
        sizes = tuple(len(block) for block in blocks)
        found.append((RandomTerm(z, grouping.codes, labels.n_levels, sizes), labels))
    found.sort(key=lambda pair: -pair[0].n_levels)
    return tuple(term for term, _ in found), tuple(labels for _, labels in found)


def join_columns(bars: Sequence[Bar], matrices: Mapping[str, Matrix]) -> np.ndarray:
    """Return the columns of a factor's bars side by side, shape (n, q)."""
    values = [matrices[bar.columns].values for bar in bars]
    return values[0] if len(values) == 1 else np.concatenate(values, axis=1)


def grouping_column(
    expression: str,
    factors: Mapping[str, Factor],
    frame: pd.DataFrame,
    context: Mapping[str, Any],
    state: dict,
) -> Factor:
    """Return one factor of a grouping factor: a column already read, or an expression evaluated."""
    if plain(expression) in factors:
        return factors[plain(expression)]
    column = read_factor(evaluate(expression, frame, context, state))
    if column.missing.any():
        raise DataError(
            f"The grouping expression {expression!r} is missing in {int(column.missing.sum())} of "
            f"{len(frame)} rows; expected a level for each row, so compute it as a column beforehand."
        )
    return column


def _blocks(bar: Bar, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name in names) if bar.diagonal else (names,)
