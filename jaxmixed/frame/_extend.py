"""More or fewer levels of a group, and rows within its levels: rows of a design are copied.

Both go through levels, or rows, in an order in which every beginning has about the shares of the whole: of
the levels that hold them, and of the values of covariates. So fewer are a balanced part, and more are whole
copies and a balanced part.
"""

import numpy as np

from jaxmixed import core

from ..core._nested_plan import parent_levels


def with_levels(design: core.Design, factor: int, number: int) -> core.Design:
    """Return a design in which a grouping factor has a given number of levels.

    Levels are copied whole. Levels of other factors that lie within one level of this one are copied
    along, as new levels; those that hold it or are crossed with it stay what they are.
    """
    term = design.terms[factor]
    source = np.resize(_order_of_levels(design, factor), number)
    copy = np.arange(number) // term.n_levels
    rows_of = _rows_by_level(np.arange(len(design.X)), term)
    rows = np.concatenate([rows_of[level] for level in source])
    sizes = [len(rows_of[level]) for level in source]
    copy_of, own = np.repeat(copy, sizes), np.repeat(np.arange(number), sizes)
    codes = [
        own if t == factor else _joint(copy_of if _holds(term, other) else 0 * copy_of, other.codes[rows])
        for t, other in enumerate(design.terms)
    ]
    return _take(design, rows, codes)


def with_rows(design: core.Design, factor: int, number: int) -> core.Design:
    """Return a design in which every level of a grouping factor has a given number of rows.

    Rows of a level are taken in turn, with all their covariates and the levels of other factors.
    """
    term, zero = design.terms[factor], np.zeros(len(design.X), int)
    within = [other.codes for t, other in enumerate(design.terms) if t != factor and _holds(term, other)]
    order = _spread(_joint(zero, term.codes, *within), _joint(zero, *design.X.T))
    rows = np.concatenate([np.resize(own, number) for own in _rows_by_level(order, term)])
    codes = [_joint(0 * rows, other.codes[rows]) for other in design.terms]
    return _take(design, rows, codes)


def _take(design: core.Design, rows: np.ndarray, codes: list[np.ndarray]) -> core.Design:
    terms = tuple(
        core.RandomTerm(term.z[rows], own, int(own.max()) + 1, term.blocks)
        for term, own in zip(design.terms, codes, strict=True)
    )
    weights, offset = (None if a is None else a[rows] for a in (design.weights, design.offset))
    return core.Design(design.y[rows], design.X[rows], terms, weights, offset)


def _rows_by_level(order: np.ndarray, term: core.RandomTerm) -> list[np.ndarray]:
    """Return the rows of each level, in the order given."""
    codes = term.codes[order]
    return np.split(order[np.argsort(codes, kind="stable")], np.cumsum(np.bincount(codes))[:-1])


def _holds(outer: core.RandomTerm, inner: core.RandomTerm) -> bool:
    """Tell whether every level of one factor lies within one level of another."""
    return np.array_equal(parent_levels(inner, outer)[inner.codes], outer.codes)


def _order_of_levels(design: core.Design, factor: int) -> np.ndarray:
    """Order levels by what holds them, and by the covariates that differ between them alone."""
    term, J = design.terms[factor], design.terms[factor].n_levels
    first = np.unique(term.codes, return_index=True)[1]
    zero = np.zeros(J, int)
    held_by = [other.codes[first] for other in design.terms if other is not term and _holds(other, term)]
    constant = [x[first] for x in design.X.T if np.array_equal(x[first][term.codes], x)]
    # A covariate that hardly repeats a value, such as age in days, has no shares to keep.
    repeated = [values for values in constant if len(np.unique(values)) <= J / 2]
    return _spread(_joint(zero, *held_by), _joint(zero, *repeated))


def _joint(*labels: np.ndarray) -> np.ndarray:
    """Return a number for each combination of labels that occurs."""
    return np.unique(np.column_stack(labels), axis=0, return_inverse=True)[1].reshape(-1)


def _spread(cell: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Order things so that beginnings have the shares of cells, and within these of patterns."""
    inside = np.argsort(np.argsort(_shares(_joint(cell, pattern), np.arange(len(cell))), kind="stable"))
    return np.lexsort((inside, _shares(cell, inside)))


def _shares(strata: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Tell how far each thing is on the way through its stratum, in the order of `place`."""
    order, sizes = np.lexsort((place, strata)), np.bincount(strata)
    shares = np.empty(len(order))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shares[order] = (rank + 0.5) / np.repeat(sizes, sizes)
    return shares
