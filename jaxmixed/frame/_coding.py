"""What the columns of a model matrix are functions of, apart from any data.

A column of a formula is a product of functions of single variables: of a factor's levels, or of a
covariate's columns. With d_l the indicator of level l, the functions of a factor of k levels have the basis
1, d_2, ..., d_k, those of a covariate x the basis 1, x_1, ..., x_s, and the products of such basis
functions, the *monomials*, are linearly independent over all combinations of levels and all covariates.
So every column has unique coordinates over monomials, and how columns depend on each other, in
whatever coding, is read off small matrices of zeros and ones: no row of data is looked at.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ._data import ModelFrame
from ._known_matrices import coding_matrix

Column = Mapping[str, np.ndarray]  # for each variable, coordinates over its basis
Monomial = frozenset[tuple[str, int]]  # variables with the place, above zero, of a basis function


@dataclass(frozen=True)
class Coding:
    """The columns of one right-hand side of a formula, by their coordinates.

    Attributes
    ----------
    columns
        Every column, those left out of the fit as aliased included.
    terms
        The columns of each term; the intercept is the term "1".
    variables
        The factors and covariates of each term, in the order of the formula.
    levels
        The number of levels of each factor.
    widths
        The number of columns of each covariate: one, or several as for a polynomial.
    treatment
        Whether all factors have treatment contrasts, the first level being the reference.
    """

    columns: tuple[Column, ...]
    terms: dict[str, range]
    variables: dict[str, tuple[str, ...]]
    levels: dict[str, int]
    widths: dict[str, int]
    treatment: bool

    def indicators(self, term: str, without_first: Iterable[str] = ()) -> list[Column]:
        """Return the products of a term's covariates and the indicators of all levels of its factors.

        The first level of the factors in `without_first` is left out: treatment contrasts.
        """
        pieces = []
        for name in self.variables[term]:
            if name in self.levels:
                vectors = _level_coordinates(np.eye(self.levels[name])).T
                vectors = vectors[1:] if name in without_first else vectors
            else:
                vectors = np.eye(1 + self.widths[name])[1:]
            pieces.append([(name, vector) for vector in vectors])
        # the first variable changes fastest, as formulaic and R have it
        return [dict(reversed(product)) for product in itertools.product(*reversed(pieces))]


def read_coding(frame: ModelFrame, part: str) -> Coding:
    """Describe the columns of a right-hand side of a model's formula."""
    spec = getattr(frame.specs, f"part{frame.parts.index(part)}", None)
    if spec is None:  # an intercept, or nothing
        constant: tuple[Column, ...] = ({},) if part == "1" else ()
        intercept = {"1": range(1)} if constant else {}
        return Coding(constant, intercept, dict.fromkeys(intercept, ()), {}, {}, treatment=True)
    # formulaic keeps the coding of a factor with the first part that uses it
    contrasts = {factor.expr: state for s in frame.specs for factor, state in s.factor_contrasts.items()}
    levels = {name: len(state.levels) for name, state in contrasts.items()}
    variables = {
        str(encoded.term): tuple(f.expr for f in encoded.term.factors if f.eval_method.value != "literal")
        for encoded in spec.structure
    }
    widths = _widths(spec.structure, contrasts)
    columns: list[Column] = []
    terms = {}
    for encoded in spec.structure:
        first = len(columns)
        for scoped in encoded.scoped_terms:
            pieces = []
            for item in scoped.factors:
                name = item.factor.expr
                if name in contrasts:
                    coded = coding_matrix(contrasts[name], item.reduced)
                    vectors = _level_coordinates(coded).T
                else:
                    vectors = np.eye(1 + widths[name])[1:]
                pieces.append([(name, vector) for vector in vectors])
            for product in itertools.product(*reversed(pieces)):
                columns.append(_scaled(dict(reversed(product)), scoped.scale))
        terms[str(encoded.term)] = range(first, len(columns))
    treatment = all(
        np.array_equal(coding_matrix(state, True), np.eye(levels[name])[:, 1:])
        for name, state in contrasts.items()
    )
    return Coding(tuple(columns), terms, variables, levels, widths, treatment)


def coordinates(*groups: Iterable[Column]) -> list[np.ndarray]:
    """Return the coordinates of columns, one matrix (monomials, columns) a group, over the same monomials."""
    expanded = [[_expand(column) for column in group] for group in groups]
    monomials = dict.fromkeys(m for group in expanded for column in group for m in column)
    place = {monomial: i for i, monomial in enumerate(monomials)}
    matrices = []
    for group in expanded:
        matrix = np.zeros((len(place), len(group)))
        for j, column in enumerate(group):
            matrix[[place[m] for m in column], j] = list(column.values())
        matrices.append(matrix)
    return matrices


def _expand(column: Column) -> dict[Monomial, float]:
    """Multiply out the functions of the variables."""
    terms: dict[Monomial, float] = {frozenset(): 1.0}
    for name, vector in column.items():
        terms = {
            (monomial | {(name, int(i))} if i else monomial): value * float(vector[i])
            for monomial, value in terms.items()
            for i in np.flatnonzero(vector)
        }
    return terms


def _level_coordinates(values: np.ndarray) -> np.ndarray:
    """Return coordinates over 1, d_2, ..., d_k of functions given by their values at the levels."""
    return np.concatenate([values[:1], values[1:] - values[:1]])


def _scaled(column: Column, scale: float) -> Column:
    if scale == 1 or not column:
        return column
    first = next(iter(column))
    return {**column, first: scale * column[first]}


def _widths(structure: Iterable[Any], contrasts: Mapping[str, Any]) -> dict[str, int]:
    """Find how many columns each covariate has from how many its terms have."""
    widths: dict[str, int] = {}
    joint = []
    for encoded in structure:
        names = [f.expr for f in encoded.term.factors if f.eval_method.value != "literal"]
        covariates = [name for name in names if name not in contrasts]
        coded = sum(
            prod(
                coding_matrix(contrasts[item.factor.expr], item.reduced).shape[1]
                for item in scoped.factors
                if item.factor.expr in contrasts
            )
            for scoped in encoded.scoped_terms
        )
        joint.append((covariates, len(encoded.columns) // max(coded, 1)))
    for covariates, width in sorted(joint, key=lambda pair: len(pair[0])):
        for name in covariates:  # what is not known from smaller terms goes to the first unknown
            known = prod(widths.get(other, 1) for other in covariates)
            widths.setdefault(name, width // known)
    return widths
