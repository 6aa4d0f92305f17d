"""Model matrices of plain columns, by what formulaic made of the same formula and levels before.

Where every term of a formula is a product of columns, numbers or factors, the numbers have no influence on
its coding: names, contrasts and the order of columns depend on the text and the levels alone. So formulaic
is asked once for each, and the next data are multiplied column by column, which takes a tenth of the time.
"""

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from ._columns import Column, Factor, Numbers
from ._matrices import (
    Matrix,
    build_matrices,
    compile_parts,
    expressions,
    factors_of,
    without_formula,
)
from ._variables import Covariates

KEPT = 256  # formulas, each with the levels of its factors
MOST_LEVELS = 100  # of a factor: to compare more takes longer than it saves

Product = tuple[float, tuple[tuple[str, np.ndarray | None], ...]]  # a scale; columns, factors with values


class Known(NamedTuple):
    """The matrices of a formula, apart from any data: formulaic's specs, and each part's columns."""

    specs: Any
    parts: dict[str, tuple[tuple[Product, ...], tuple[str, ...], dict[str, range]]]

    def matrices(self, columns: Mapping[str, Column], n: int) -> dict[str, Matrix]:
        """Multiply the columns of new data."""
        built = without_formula(n)
        for part, (products, names, terms) in self.parts.items():
            values = np.empty((n, len(products)))
            for j, (scale, pieces) in enumerate(products):
                values[:, j] = scale
                for name, of_levels in pieces:
                    column = columns[name]
                    if of_levels is None:
                        assert isinstance(column, Numbers)
                        values[:, j] *= column.values
                    else:
                        assert isinstance(column, Factor)
                        values[:, j] *= of_levels[column.codes]
            built[part] = Matrix(values, names, terms)
        return built


_known: "OrderedDict[Any, Known]" = OrderedDict()  # the most recent last
_changing = Lock()


def fitted_matrices(
    parts: tuple[str, ...], formula: Any, covariates: Covariates, context: Mapping[str, Any]
) -> tuple[dict[str, Matrix], Any]:
    """Do as `build_matrices` for data to be fitted."""
    if formula is None:
        return without_formula(covariates.n), None
    key = _key(parts, covariates.columns)
    if key is None:
        return build_matrices(parts, formula, covariates.frame, context)
    with _changing:
        if (known := _known.get(key)) is not None:
            _known.move_to_end(key)
    if known is not None:
        return known.matrices(covariates.columns, covariates.n), known.specs
    matrices, specs = build_matrices(parts, formula, covariates.frame, context)
    known = Known(specs, {part: _products(specs, i, matrices[part]) for i, part in _built(parts, specs)})
    with _changing:
        _known[key] = known
        if len(_known) > KEPT:
            _known.popitem(last=False)
    return matrices, specs


def _key(parts: tuple[str, ...], columns: Mapping[str, Column]) -> Any:
    """Return all that the coding depends on; nothing if it depends on more than text and levels."""
    names = _plain_names(parts)
    if names is None or not names <= columns.keys():  # what is no column is a variable of the caller's
        return None
    kinds = []
    for name in sorted(names):
        column, levels = columns[name], ()
        if isinstance(column, Factor):
            if len(column.levels) > MOST_LEVELS:
                return None
            levels = tuple(column.levels)
        kinds.append((levels, tuple(map(type, levels))))
    return parts, tuple(kinds)


@lru_cache(maxsize=KEPT)
def _plain_names(parts: tuple[str, ...]) -> frozenset[str] | None:
    """Return the names that a formula multiplies; nothing if it does anything else."""
    formula, used = compile_parts(parts)
    if any(in_call for _, in_call in used):
        return None
    scaled = any(item.eval_method.value == "literal" and item.expr != "1" for item in factors_of([formula]))
    return None if scaled or expressions(formula) else frozenset(name for name, _ in used)


def _built(parts: tuple[str, ...], specs: Any) -> list[tuple[int, str]]:
    return [(i, part) for i, part in enumerate(parts) if f"part{i}" in specs]


def coding_matrix(state: Any, reduced: bool) -> np.ndarray:
    """Return the values of a factor's columns at its levels, shape (levels, columns)."""
    return np.asarray(state.get_coding_matrix(reduced_rank=reduced), dtype=float)


def _products(specs: Any, i: int, matrix: Matrix) -> tuple[tuple[Product, ...], tuple[str, ...], dict]:
    """Return which columns are multiplied for each column of a part."""
    # formulaic keeps the coding of a factor with the first part that uses it
    contrasts = {factor.expr: state for spec in specs for factor, state in spec.factor_contrasts.items()}
    products: list[Product] = []
    for scoped in (scoped for encoded in specs[f"part{i}"].structure for scoped in encoded.scoped_terms):
        pieces = []
        for item in scoped.factors:
            name = item.factor.expr
            state = contrasts.get(name)
            coded = [None] if state is None else list(coding_matrix(state, item.reduced).T)
            pieces.append([(name, of_levels) for of_levels in coded])
        # the first changes fastest
        products += [(scoped.scale, tuple(reversed(p))) for p in itertools.product(*reversed(pieces))]
    return tuple(products), matrix.names, matrix.terms
