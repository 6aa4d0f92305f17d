"""Which hypotheses about beta an analysis of variance tests: a matrix L for each term, H0: L beta = 0.

*Type 1* (sequential): a term given those before it. With X = QR and D the diagonal of R, the rows of
D^-1 R that belong to the term. D^-1 R is the transposed unit-triangular factor of X'X (Doolittle), but X'X
squares the condition number and QR does not.

*Type 2*: a term given all that do not contain it. The same, the columns reordered: terms that do not
contain it, the term itself, terms that do.

*Type 3*: a term averaged evenly over the levels of the factors it interacts with. Write X beta with an
indicator for every level of every factor, X beta = Xo gamma, so that beta = G'gamma. The columns of G of the
term are made orthogonal to those of the terms that contain it, as in SAS,

    L = [e_term - B'e_containing]',     B = argmin |G_term - G_containing B|,

for beta in treatment contrasts, and carried over if the model has others.

The hypotheses are those of lmerTest 3.1 (Kuznetsova, Brockhoff & Christensen 2017,
doi:10.18637/jss.v082.i13), among them two that follow from how R describes a formula. A factor counts in a
term only if the term without it is in the model too: in `a + a:b` the term `a:b` does not contain `a`,
which is then tested at the first level of `b`; write `a * b` to average. And the matrix that `poly` or
`scale` returns is no covariate when type 2 asks which terms contain `a`: `a:poly(x, 2)` does, `a:x` does not.
"""

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np

from ._check import check_choice
from ._coding import Coding, Column, coordinates, read_coding
from ._data import ModelFrame
from ._errors import DataError
from ._rank import independent_columns
from ._reduced import require_rows

AnovaType = Literal[1, 2, 3]
MATRIX = re.compile(r"(scale|poly)\(")  # R's functions that return a matrix of what may be one column
ROUNDING = 1e-10  # size of a coefficient that is zero
OBTAINED = 1e-8  # largest error, relative to one, of a column put together from others


def term_contrasts(frame: ModelFrame, type: AnovaType) -> dict[str, np.ndarray]:
    """Return the hypothesis matrix of every fixed-effects term but the intercept.

    Parameters
    ----------
    frame
        The model.
    type
        1 (sequential), 2 (given what does not contain the term) or 3 (averaged over the levels of others).

    Returns
    -------
    dict
        For each term, in the order of the formula, L of shape (rows, p) over the columns
        `frame.fixed_names`: a row for each of the term's columns, none if all of them were aliased.

    Raises
    ------
    DataError
        If `type` is another, or if factors are confounded and have other than treatment contrasts, so that
        type 3 cannot be told.

    References
    ----------
    Goodnight (1980), Tests of hypotheses in fixed effects linear models, doi:10.1080/03610928008827869.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> from jaxmixed.frame._contrasts import term_contrasts
    >>> fit = jm.lmer("distance ~ Sex * age + (age | Subject)", jm.datasets.load("Orthodont"))
    >>> fit.frame.fixed_names
    ('Intercept', 'Sex[T.Female]', 'age', 'Sex[T.Female]:age')
    >>> term_contrasts(fit.frame, 3)["age"]  # the mean of two slopes
    array([[0. , 0. , 1. , 0.5]])
    """
    check_choice("type", type, (1, 2, 3))
    places = {term: list(columns) for term, columns in frame.fixed_terms.items() if term != "1"}
    if not places:
        return {}
    if type == 3:
        return _type3(frame, places)
    if type == 1:
        L = _sequential(frame.design.X, list(range(frame.design.X.shape[1])))
        return {term: L[columns] for term, columns in places.items()}
    coding = read_coding(frame, frame.formula.fixed)
    containing = _containing(coding)
    p, contrasts = frame.design.X.shape[1], {}
    triangle, norms = _triangle(frame.design.X)
    for term, columns in places.items():
        last = columns + [i for other in containing[term] for i in places[other]]
        order = [i for i in range(p) if i not in last] + last
        contrasts[term] = _sequential(triangle * norms, order)[columns]
    return contrasts


def _triangle(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R of the columns of X scaled to norm one, shape (p, p), and their norms."""
    largest = np.abs(X).max(axis=0)
    norms = largest * np.sqrt(((X / largest) ** 2).sum(axis=0))
    return np.asarray(np.linalg.qr(X / norms, mode="r")), norms


def _sequential(X: np.ndarray, order: list[int]) -> np.ndarray:
    """Return the hypothesis of each column given those before it in `order`, shape (p, p)."""
    R, norms = _triangle(X[:, order])
    L = np.empty_like(R)
    L[np.ix_(order, order)] = R * norms / (np.diagonal(R) * norms)[:, None]
    return L


def _containing(coding: Coding) -> dict[str, list[str]]:
    """Return the terms that contain each term, by lmerTest's rule: the same covariates and more factors."""
    sets = {term: frozenset(names) for term, names in coding.variables.items()}

    def counted(term: str) -> frozenset[str]:
        names = sets[term]
        return frozenset(v for v in names if len(names) == 1 or names - {v} in sets.values())

    def covariates(names: frozenset[str]) -> frozenset[str]:
        return frozenset(v for v in names if coding.widths.get(v) == 1 and not MATRIX.match(v))

    found = {term: counted(term) for term in sets if term != "1"}
    return {
        term: [
            other for other, more in found.items() if names < more and covariates(names) == covariates(more)
        ]
        for term, names in found.items()
    }


def _type3(frame: ModelFrame, places: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    p = frame.design.X.shape[1]
    coding = read_coding(frame, frame.formula.fixed)
    sets = {term: set(names) for term, names in coding.variables.items() if term != "1"}
    if "1" in coding.terms and not any(names < more for names in sets.values() for more in sets.values()):
        return {term: np.eye(p)[columns] for term, columns in places.items()}  # no interactions
    indicators = {term: coding.indicators(term) for term in coding.terms}
    treatment = {term: _treatment(coding, term) for term in coding.terms}
    G = _in_model(frame, coding, [column for columns in indicators.values() for column in columns])
    T = _in_model(frame, coding, [column for columns in treatment.values() for column in columns])
    owner = np.array([term for term, columns in treatment.items() for _ in columns])
    kept = independent_columns(T)
    T, owner = T[:, kept], owner[kept]
    G = np.linalg.solve(T, G).T  # (indicators, p), for beta in treatment contrasts
    contrasts = {}
    for term, others in _containing(coding).items():
        mine, theirs = owner == term, np.isin(owner, others)
        L = np.eye(p)[mine]
        if theirs.any():
            L[:, theirs] = -np.linalg.lstsq(G[:, theirs], G[:, mine], rcond=None)[0].T
        contrasts[term] = np.linalg.solve(T.T, L.T).T + 0.0  # no negative zeros
    return contrasts


def _treatment(coding: Coding, term: str) -> list[Column]:
    """Return a term's columns as R codes them by treatment contrasts.

    A factor leaves out its first level if the term without it is in the model; without an intercept, the
    first of the factors that stand alone has all its levels.
    """
    sets = [set(names) for names in coding.variables.values()]
    alone = [name for names in coding.variables.values() for name in names[:1] if len(names) == 1]
    factors = [name for name in alone if name in coding.levels]
    names = coding.variables[term]
    reduced = [v for v in names if set(names) - {v} in sets or (len(names) == 1 and v in factors[1:])]
    return coding.indicators(term, reduced)


def _in_model(frame: ModelFrame, coding: Coding, columns: list[Column]) -> np.ndarray:
    """Return the coefficients of columns on those of X, shape (p, columns)."""
    model, wanted = coordinates(coding.columns, columns)
    found = np.linalg.lstsq(model, wanted, rcond=None)[0]
    if frame.aliased:
        kept = frame.independent
        found = found[kept] + _alias_coefficients(frame, coding) @ found[~kept]
    return np.where(np.abs(found) < ROUNDING, 0.0, found)


def _alias_coefficients(frame: ModelFrame, coding: Coding) -> np.ndarray:
    """Return the coefficients of the aliased columns on those kept, shape (p, aliased).

    The aliased columns themselves are gone. That of an interaction is the product of its variables'
    columns, which those kept give. Where they do not, zero will do for treatment contrasts: that is what
    leaving the column out means for the coefficients of those kept.
    """
    require_rows(frame, "A test of type 3 with columns left out", "use type 2, or fit a data frame")
    X, kept = frame.design.X, frame.independent
    triangle, norms = _triangle(X)
    model = [column for column, keep in zip(coding.columns, kept, strict=True) if keep]
    gone = [column for column, keep in zip(coding.columns, kept, strict=True) if not keep]
    coefficients = np.zeros((X.shape[1], len(gone)))
    for j, column in enumerate(gone):
        pieces = [{name: vector} for name, vector in column.items()]
        mine, wanted = coordinates(model, pieces)
        found = np.linalg.lstsq(mine, wanted, rcond=None)[0]
        if np.abs(mine @ found - wanted).max() < OBTAINED:
            product = (X @ found).prod(axis=1)
            moments = (X / norms).T @ product
            scaled = np.linalg.solve(triangle, np.linalg.solve(triangle.T, moments))
            coefficients[:, j] = scaled / norms
        elif not coding.treatment and any(name in coding.levels for name in column):
            raise DataError(
                f"Type 3 tests cannot be carried over to the contrasts of this model: {frame.aliased[j]!r} "
                f"is a linear combination of other columns; expected treatment contrasts, so leave out "
                f"those given, or use type 2."
            )
    return coefficients
