"""Predictions of rows, fitted or new: x'beta-hat + z'b-hat + offset, formed in conditioned coordinates."""

from collections.abc import Sequence
from typing import Protocol

from jaxtyping import Float, Int

from ._criterion import Profiled, profile_out, reduce
from ._ranef import posterior
from ._structure import RowTerm
from ._suffstats import SuffStats
from ._triangular import solve_lower, solve_upper
from ._types import Array, Theta, namespace


class RowEffects(Protocol):
    """The random effects of one grouping factor in some rows: a `RandomTerm` is one.

    Attributes
    ----------
    z
        Covariates, shape (m, q).
    codes
        Level of each row, shape (m,); -1 for a level that the fit did not see.
    """

    @property
    def z(self) -> Float[Array, "m q"]: ...

    @property
    def codes(self) -> Int[Array, " m"]: ...


def predict(
    theta: Theta,
    stats: SuffStats,
    X: Float[Array, "m p"],
    terms: Sequence[RowEffects] = (),
    offset: Float[Array, " m"] | None = None,
) -> Float[Array, " m"]:
    """Return predictions of rows, fitted or new, at the estimated beta and conditional modes.

    A random effect of a level that the fit did not see (code -1) is predicted as zero.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    stats
        Statistics; `suffstats(design)`, which holds every level, if `terms` are given.
    X
        Fixed-effects matrix of the rows, in the columns of the design, shape (m, p).
    terms
        Random effects of the rows, one for each term of the design, or none: a prediction for the average
        level.
    offset
        Known part of the mean of each row, shape (m,). `None` means zeros.

    Returns
    -------
    Float[Array, " m"]
        In units of y.

    Raises
    ------
    ValueError
        If terms are given and the statistics are compressed, or hold another number of factors.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> new = core.RandomTerm(np.ones((3, 1)), np.array([0, 1, -1]), 4, (1,))
    >>> core.predict(np.array([2.72]), stats, np.ones((3, 1)), (new,)).round(2)
    array([2.1 , 7.84, 4.25])
    """
    x = conditioned_columns(stats, X)
    if len(terms) == 0:
        mean = marginal_mean(x, profile_out(reduce(theta, stats).schur), stats)
    else:
        rows = conditioned_rows(stats, terms)
        xp = namespace(theta, stats.C, *(array for row in rows for array in row))
        of_levels = posterior(xp.asarray(theta), stats)
        profiled = profile_out(of_levels.reduced.schur)
        v = xp.concatenate([-profiled.gamma, xp.ones(1, stats.C.dtype)])[:, None]
        mean = marginal_mean(x, profiled, stats)
        for (z, codes), b in zip(rows, of_levels.modes(v), strict=True):
            mean = mean + stats.scale * (z * b[codes, :, 0]).sum(1)
    return mean if offset is None else mean + offset


def conditioned_columns(stats: SuffStats, X: Float[Array, "m p"]) -> Float[Array, "m p"]:
    """Return X R^-1."""
    return solve_lower(stats.R.T, X.T).T


def conditioned_rows(stats: SuffStats, terms: Sequence[RowEffects]) -> tuple[RowTerm, ...]:
    """Return z T^-1, zero where the level is not known."""
    if len(terms) != len(stats.T):
        raise ValueError(f"Found {len(terms)} terms; expected {len(stats.T)}, one for each of the design.")
    rows = []
    for T, term in zip(stats.T, terms, strict=True):
        # Codes stay what they are: concrete ones must not become tracers.
        known, z = term.codes >= 0, solve_upper(T.T, term.z.T).T
        codes = namespace(term.codes).where(known, term.codes, 0)
        rows.append(RowTerm(namespace(z, known).where(known[:, None], z, 0), codes))
    return tuple(rows)


def marginal_mean(x: Float[Array, "m p"], profiled: Profiled, stats: SuffStats) -> Float[Array, " m"]:
    """Return x'beta-hat for the rows of `conditioned_columns`."""
    return x @ (stats.gamma_ols + stats.scale * profiled.gamma)
