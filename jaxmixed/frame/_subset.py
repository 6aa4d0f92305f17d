"""Some rows of a model that has been read, as `lmer` would fit them had only they been given.

Levels that do not occur are left out, columns of X that depend on others are dropped, and what cannot be
fitted raises the error that `lmer` raises.
"""

from typing import NamedTuple

import numpy as np

from jaxmixed import core

from . import _check as check
from ._data import ModelFrame
from ._groups import GroupLabels
from ._rank import independent_columns


class Subset(NamedTuple):
    """Some rows of a model.

    Attributes
    ----------
    design
        Its arrays, the response included.
    terms, aliased
        Names of the columns of X that are fitted, and of those left out.
    groups
        Labels of each term of the design, their levels those of the whole.
    """

    design: core.Design
    terms: tuple[str, ...]
    aliased: tuple[str, ...]
    groups: tuple[GroupLabels, ...]


def subset(frame: ModelFrame, rows: np.ndarray) -> Subset:
    """Take rows, by their positions, out of a model.

    Raises
    ------
    DataError
        If they cannot be fitted.
    """
    whole, n = frame.design, len(rows)
    X, weights = whole.X[rows], None if whole.weights is None else whole.weights[rows]
    independent = independent_columns(X)
    check.check_columns(int(independent.sum()), n)
    weighted = weights is not None and bool(np.ptp(weights) > 0)
    found = []
    for term, labels in zip(whole.terms, frame.groups, strict=True):
        levels, codes = np.unique(term.codes[rows], return_inverse=True)
        check.check_group(labels.name, len(levels), labels.terms, n, weighted)
        check.check_random_columns(labels.name, labels.columns, term.z[rows])
        found.append((core.RandomTerm(term.z[rows], codes, len(levels), term.blocks), labels))
    appearance = [bar.group for bar in frame.formula.bars]
    found.sort(key=lambda pair: (-pair[0].n_levels, appearance.index(pair[1].group)))
    terms, groups = zip(*found, strict=True)
    names = np.array(frame.fixed_names, dtype=object)
    design = core.Design(
        whole.y[rows],
        X if independent.all() else X[:, independent],
        terms,
        weights,
        None if whole.offset is None else whole.offset[rows],
    )
    return Subset(design, tuple(names[independent]), tuple(names[~independent]), groups)
