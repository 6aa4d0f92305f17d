"""How well a row's linear predictor is known: variances from Henderson's mixed-model equations.

With K = Lambda (I + Lambda'Z'WZLambda)^-1 Lambda' over all random effects and Phi = (X'V^-1X)^-1, both
relative to sigma^2, the errors of beta-hat and of the predicted b have the joint covariance that gives

    Var(x'(beta-hat - beta) + z'(b-hat - b)) = sigma^2 (z'Kz + d'Phi d),     d = x - X'WZ K z

(Henderson 1975, doi:10.2307/2529430). For a row that was fitted, w times this over sigma^2 is its leverage.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float

from ._criterion import profile_out, reduce
from ._predict import RowEffects, conditioned_columns, conditioned_rows, marginal_mean
from ._ranef import posterior
from ._suffstats import SuffStats, conditioned_factors
from ._triangular import solve_upper
from ._types import Array, Theta, namespace


def row_variance(
    theta: Theta, stats: SuffStats, X: Float[Array, "m p"], terms: Sequence[RowEffects] = ()
) -> Float[Array, " m"]:
    """Return the variance of the linear predictor of rows, fitted or new, relative to sigma^2.

    The uncertainty of beta and, if `terms` are given, of the random effects of the rows' levels, jointly;
    theta counts as known. Random effects of levels that the fit did not see are taken as zero, here and in
    `prior_variance`, which says how far from zero they may be.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    stats
        Statistics; `suffstats(design)`, which holds every level, if `terms` are given. When factors are
        crossed the levels decide shapes: they must be concrete, while numbers may be traced.
    X
        Fixed-effects matrix of the rows, in the columns of the design, shape (m, p).
    terms
        Random effects of the rows, one for each term of the design, or none: those of beta alone.

    Returns
    -------
    Float[Array, " m"]
        Var(x'beta-hat + z'b-hat - x'beta - z'b) / sigma^2, or x'Phi x without terms.

    Raises
    ------
    ValueError
        If terms are given and the statistics are compressed, or hold another number of factors.

    References
    ----------
    Henderson (1975), doi:10.2307/2529430.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> leverage = core.row_variance(np.array([2.85]), core.suffstats(design), ones, design.terms)
    >>> leverage[:4].round(3)
    array([0.323, 0.323, 0.323, 0.323])
    """
    return row_prediction(theta, stats, X, terms).variance


class RowPrediction(NamedTuple):
    """Linear predictors of rows.

    Attributes
    ----------
    mean
        x'beta-hat + z'b-hat, in units of y, shape (m,); an offset is not in it.
    variance
        `row_variance`, that of its error relative to sigma^2, shape (m,).
    """

    mean: Float[Array, " m"]
    variance: Float[Array, " m"]


def row_prediction(
    theta: Theta, stats: SuffStats, X: Float[Array, "m p"], terms: Sequence[RowEffects] = ()
) -> RowPrediction:
    """Return linear predictors of rows and the variances of their errors, with one elimination.

    The arguments are those of `row_variance`.
    """
    x = conditioned_columns(stats, X)
    if len(terms) == 0:
        profiled = profile_out(reduce(theta, stats).schur)
        return RowPrediction(marginal_mean(x, profiled, stats), _quadratic(x, profiled.inverse))
    rows = conditioned_rows(stats, terms)
    xp = namespace(theta, stats.C, *(array for row in rows for array in row))
    of_levels = posterior(xp.asarray(theta), stats)
    profiled = profile_out(of_levels.reduced.schur)
    mean, d = marginal_mean(x, profiled, stats), x
    v = xp.concatenate([-profiled.gamma, xp.ones(1, stats.C.dtype)])[:, None]
    effects = of_levels.modes(xp.concatenate([xp.eye(stats.p + 1, stats.p, dtype=v.dtype), v], axis=1))
    for (z, codes), b in zip(rows, effects, strict=True):
        for i in range(z.shape[1]):
            through = z[:, i, None] * b[codes, i]
            mean, d = mean + stats.scale * through[:, -1], d - through[:, :-1]
    return RowPrediction(mean, of_levels.variances(rows) + _quadratic(d, profiled.inverse))


def prior_variance(
    theta: Theta, stats: SuffStats, terms: Sequence[RowEffects]
) -> tuple[Float[Array, " m"], ...]:
    """Return z'Lambda Lambda'z of rows, relative to sigma^2, one array a term.

    The variance that the random effects of a level not yet seen add to its rows.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    stats
        Statistics of the fit.
    terms
        Random effects of the rows, one for each term of the design; their codes are not looked at.
    """
    factors = conditioned_factors(theta, stats)
    pairs = zip(stats.T, terms, factors, strict=True)
    return tuple(((solve_upper(T.T, term.z.T).T @ L) ** 2).sum(1) for T, term, L in pairs)


def _quadratic(x: Float[Array, "m p"], matrix: Float[Array, "p p"]) -> Float[Array, " m"]:
    return ((x @ matrix) * x).sum(1)
