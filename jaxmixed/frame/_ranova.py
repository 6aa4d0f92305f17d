"""Tests of the random terms: each is reduced or removed, and the model fitted again.

    statistic = 2 (llf - llf_reduced),   chi squared on as many degrees of freedom as parameters were dropped

A term (x | g) loses its columns of x and leaves (1 | g), one term of its left-hand side at a time, those
within an interaction staying as long as the interaction does. (0 + x | g) is compared with (1 | g), and
(1 | g) is removed. With no random term left the criterion is that of a linear regression, at theta = 0. REML
or ML is kept as it was: the fixed effects do not change, so restricted likelihoods compare. This is what
lmerTest's `ranova` does (Kuznetsova, Brockhoff & Christensen 2017, doi:10.18637/jss.v082.i13).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
from scipy.special import chdtrc

from jaxmixed import core

from ..core import _exact_rlrt
from ..core._exact_rlrt import ExactRLRT
from ._coding import coordinates, read_coding
from ._data import ModelFrame
from ._errors import ConvergenceWarning, DataError
from ._estimate import as_key, estimate
from ._fitted import FittedModel
from ._formula import Bar
from ._rank import independent_columns
from ._reduced import constant_of
from ._words import listed


@dataclass(frozen=True)
class Piece:
    """Random effects of one formula term `(columns | group)`: one block, or one for each column.

    Attributes
    ----------
    z
        Columns, shape (n, q).
    diagonal
        Whether their random effects are uncorrelated.
    has_intercept
        Whether the first column is the constant.
    """

    z: np.ndarray
    diagonal: bool
    has_intercept: bool


Smaller = Sequence[tuple[str, Piece | None]]


@dataclass(frozen=True)
class Reduction:
    """A way to make the model smaller: the piece at `place` of the factor `group` is replaced, or removed."""

    name: str
    group: int
    place: int
    piece: Piece | None


def ranova(fit: FittedModel) -> pd.DataFrame:
    """Test every random term of a model by reducing or removing it.

    Parameters
    ----------
    fit
        The model.

    Returns
    -------
    DataFrame
        A row for the model, "<none>", and one for each smaller one, named by what it lacks: `term`,
        `n_parameters`, `llf`, `aic`, and from the second on `statistic`, `df` and `p_value`. The variance
        in question is at its boundary in the smaller model, so that the p value is too large.

    Warns
    -----
    ConvergenceWarning
        If a smaller model could not be fitted.
    """
    pieces, reductions = _plan(fit.frame)
    rows = [("<none>", len(fit.theta), float(core.criterion(fit.theta, fit.stats, fit.reml)))]
    rows += [(change.name, *_fit_reduced(fit, pieces, change)) for change in reductions]
    table = pd.DataFrame(rows, columns=["term", "n_parameters", "llf"])
    table["n_parameters"] += len(fit.frame.fixed_names) + 1  # beta and sigma
    table["llf"] /= -2
    table["aic"] = 2 * table["n_parameters"] - 2 * table["llf"]
    smaller = table.index > 0
    statistic = 2 * (table["llf"].iloc[0] - table["llf"])
    df = table["n_parameters"].iloc[0] - table["n_parameters"]
    table["statistic"] = statistic.mask(df > 0, statistic.clip(lower=0)).where(smaller)
    table["df"] = df.where(smaller)
    table["p_value"] = chi_squared_p(table["statistic"], table["df"])
    return table


def chi_squared_p(statistic: pd.Series, df: pd.Series) -> np.ndarray:
    """Return P(chi2(df) > statistic), missing where df is not positive."""
    df = df.to_numpy(float)
    tail = chdtrc(np.where(df > 0, df, np.nan), np.maximum(statistic.to_numpy(float), 0))
    return np.asarray(tail)


def _plan(frame: ModelFrame) -> tuple[list[list[Piece]], list[Reduction]]:
    """Return the pieces of each grouping factor and all reductions, factors in the order of the fit."""
    pieces: list[list[Piece]] = []
    reductions = []
    for group, (labels, term) in enumerate(zip(frame.groups, frame.design.terms, strict=True)):
        found: list[Piece] = []
        changes = []
        first = 0
        for bar in frame.formula.bars:
            if bar.group != labels.group:
                continue
            width = len(read_coding(frame, bar.columns).columns)
            for piece, smaller in _split(frame, bar, term.z[:, first : first + width]):
                changes += [Reduction(name, group, len(found), left) for name, left in smaller]
                found.append(piece)
            first += width
        pieces.append(found)
        reductions += changes
    return pieces, reductions


def _split(frame: ModelFrame, bar: Bar, z: np.ndarray) -> list[tuple[Piece, Smaller]]:
    """Return the pieces of a bar, with what each can be reduced to; `||` is a sum of terms."""
    coding = read_coding(frame, bar.columns)
    intercept = "1" in coding.terms
    names = {term: set(variables) for term, variables in coding.variables.items() if term != "1"}
    if not bar.diagonal:
        text = f"({bar.columns.removeprefix('1 + ')} | {bar.name})"
        left = [(f"{term} in {text}", _without(frame, bar, z, term)) for term in _outermost(names)]
        return [(Piece(z, False, intercept), left or [(text, None)])]
    pieces: list[tuple[Piece, Smaller]] = []
    for term, columns in coding.terms.items():
        mine = z[:, columns.start : columns.stop]
        if term == "1":
            pieces.append((Piece(mine, False, True), [(f"(1 | {bar.name})", None)]))
        else:
            name = f"{term} in (0 + {term} | {bar.name})"
            pieces.append((Piece(mine, True, False), [(name, _constant(frame))]))
    return pieces


def _outermost(names: dict[str, set[str]]) -> list[str]:
    """Return the terms that are within no other."""
    return [term for term, mine in names.items() if not any(mine < other for other in names.values())]


def _without(frame: ModelFrame, bar: Bar, z: np.ndarray, term: str) -> Piece:
    """Return the piece of a bar that lacks a term of its left-hand side.

    Without an intercept the columns of the term may have carried the constant for the others, so that these
    are completed from the indicators of all their levels.
    """
    coding = read_coding(frame, bar.columns)
    rest = [other for other in coding.terms if other != term]
    if rest in ([], ["1"]):
        return _constant(frame)
    own = [coding.columns[i] for other in rest for i in coding.terms[other]]
    all_levels = [column for other in rest for column in coding.indicators(other)]
    mine, wanted = coordinates(coding.columns, [*own, *all_levels])
    combinations = np.linalg.lstsq(mine, wanted, rcond=None)[0].round(12)
    return Piece(z @ combinations[:, independent_columns(combinations)], False, "1" in rest)


def _constant(frame: ModelFrame) -> Piece:
    return Piece(constant_of(frame)[:, None], False, True)


def _fit_reduced(fit: FittedModel, pieces: list[list[Piece]], change: Reduction) -> tuple[int, float]:
    """Return the length of theta and the criterion of a smaller model."""
    design = fit.frame.design
    terms = []
    for group, (term, mine) in enumerate(zip(design.terms, pieces, strict=True)):
        if group == change.group:
            mine = [piece for place, piece in enumerate(mine) if place != change.place]
            new = change.piece
            # R, too, writes (1 | g) once if it is there already.
            if new is not None and not (new.has_intercept and any(p.has_intercept for p in mine)):
                mine = [*mine, new]
        if mine:
            z = np.concatenate([piece.z for piece in mine], axis=1)
            terms.append(core.RandomTerm(z, term.codes, term.n_levels, _blocks(mine)))
    if not terms:
        return 0, float(core.criterion(np.zeros_like(fit.theta), fit.stats, fit.reml))
    reduced = core.Design(fit.y, design.X, tuple(terms), design.weights, design.offset, design.totals)
    stats = core.compress(reduced)
    optimum = estimate(stats, fit.reml)
    if optimum.result != 0:
        message = f"The fit without {change.name!r} did not converge: {core.RESULTS[int(optimum.result)]}."
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
    return len(optimum.theta), float(core.criterion(optimum.theta, stats, fit.reml))


def _blocks(pieces: list[Piece]) -> tuple[int, ...]:
    sizes = []
    for piece in pieces:
        width = piece.z.shape[1]
        sizes += [1] * width if piece.diagonal else [width]
    return tuple(sizes)


def exact_rlrt(fit: FittedModel, n: int, key: Any) -> ExactRLRT:
    """Test by simulation that the only variance of a model is zero."""
    names = [f"{column} of {labels.name}" for labels in fit.frame.groups for column in labels.columns]
    if len(names) > 1:
        raise DataError(
            f"The model has random effects of {len(names)} kinds ({listed(names)}); the exact test expects a "
            f"single variance, so use ranova() for the approximate test of each term."
        )
    if not fit.reml:
        raise DataError(
            "The model is fitted by maximum likelihood; the exact test is of restricted likelihoods, so fit "
            "it with reml=True."
        )
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise DataError(f"n is {n!r}; expected a whole number of draws above zero, such as 10000.")
    with jax.enable_x64(True):
        return _exact_rlrt.exact_rlrt(as_key(key), fit.theta, fit._all_levels, int(n))
