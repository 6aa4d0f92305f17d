"""The profiled ML and REML criterion, and the estimates that profiling leaves behind.

    REML    = logdet + log|S_XX| + (n - p)(1 + log(2 pi pwrss / (n - p))) - sum log w
    ML      = logdet             +  n     (1 + log(2 pi pwrss /  n     )) - sum log w

with S the Schur complement on [X y] and pwrss what is left of its last element when X is eliminated
too (Bates, Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._covariance import relative_factors
from ._small import logdet_inverse
from ._structure import Factors, Reduced
from ._suffstats import SuffStats, conditioned_factors
from ._triangular import solve_upper
from ._types import Array, Scalar, Theta, namespace

TWO_PI = 6.283185307179586


class Profiled(NamedTuple):
    """beta and sigma at their optimum for one theta, in conditioned coordinates.

    Attributes
    ----------
    logdet
        log|S_XX|.
    inverse
        S_XX^-1, shape (p, p).
    gamma
        Coefficients of Q for the response u, shape (p,).
    pwrss
        Penalised weighted residual sum of squares of u.
    """

    logdet: Scalar
    inverse: Float[Array, "p p"]
    gamma: Float[Array, " p"]
    pwrss: Scalar


def profile_out(schur: Float[Array, "c c"]) -> Profiled:
    """Eliminate X from the Schur complement on [X y].

    With v = (-gamma, 1) and w = dS v, d pwrss = v'w and d gamma = S_XX^-1 w_X.
    """
    return _profile_out(schur) if namespace(schur) is np else _profile_out_traced(schur)


@jax.custom_jvp
def _profile_out_traced(schur):
    return _profile_out(schur)


@_profile_out_traced.defjvp
def _(primals, tangents):
    (schur,), (tangent,) = primals, tangents
    profiled = _profile_out_traced(schur)
    inverse, d_XX = profiled.inverse, tangent[:-1, :-1]
    v = jnp.concatenate([-profiled.gamma, jnp.ones(1, schur.dtype)])
    w = tangent @ v
    d_logdet = (inverse * d_XX).sum()
    return profiled, Profiled(d_logdet, -inverse @ d_XX @ inverse, inverse @ w[:-1], v @ w)


def _profile_out(schur):
    logdet, inverse = logdet_inverse(schur[:-1, :-1])
    gamma = inverse @ schur[:-1, -1]
    return Profiled(logdet, inverse, gamma, schur[-1, -1] - schur[-1, :-1] @ gamma)


def deviance(reduced: Reduced, profiled: Profiled, stats: SuffStats, reml: bool) -> Scalar:
    """Return the criterion, given that random and fixed effects have been eliminated."""
    xp = namespace(reduced.schur, stats.scale)
    dof = stats.n - stats.p if reml else stats.n
    logdet = reduced.logdet - stats.log_weights
    if reml:
        logdet = logdet + profiled.logdet + 2 * xp.log(xp.abs(xp.diagonal(stats.R))).sum()
    log_variance = xp.log(profiled.pwrss / dof) + 2 * xp.log(stats.scale)
    return logdet + dof * (1 + xp.log(xp.asarray(TWO_PI, stats.C.dtype)) + log_variance)


def conditioned_criterion(theta: Theta, stats: SuffStats, reml: bool) -> Scalar:
    """Return the criterion at a theta in the coordinates of z~."""
    return criterion_of(relative_factors(theta, stats.blocks), stats, reml)


def criterion_of(factors: Factors, stats: SuffStats, reml: bool) -> Scalar:
    """Return the criterion at the relative covariance factors of z~, which need not be triangular."""
    reduced = stats.structure.reduce(factors, stats.C)
    return deviance(reduced, profile_out(reduced.schur), stats, reml)


def criterion(theta: Theta, stats: SuffStats, reml: bool = True) -> Scalar:
    """Return -2 log likelihood (or -2 log restricted likelihood), profiled over beta and sigma.

    Parameters
    ----------
    theta
        Elements of the relative covariance factors, lme4's order, relative to sigma, shape (k,).
    stats
        Sufficient statistics.
    reml
        Restricted likelihood (default) or likelihood.

    Returns
    -------
    Scalar
        The criterion on the deviance scale, with all its constants, as lme4 reports it.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), doi:10.18637/jss.v067.i01.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.arange(12.0) % 5, np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> round(float(core.criterion(np.array([0.5]), stats)), 4)
    43.494
    """
    reduced = reduce(theta, stats)
    return deviance(reduced, profile_out(reduced.schur), stats, reml)


def reduce(theta: Theta, stats: SuffStats) -> Reduced:
    """Eliminate the random effects at theta."""
    return stats.structure.reduce(conditioned_factors(theta, stats), stats.C)


class Estimates(NamedTuple):
    """Fixed effects and residual scale at one theta.

    Attributes
    ----------
    beta
        Fixed effects, shape (p,), in units of y per unit of X.
    vcov
        Covariance of beta at known theta and sigma, shape (p, p).
    sigma
        Residual standard deviation for weight one, in units of y.
    criterion
        -2 log likelihood, ML or REML.
    """

    beta: Float[Array, " p"]
    vcov: Float[Array, "p p"]
    sigma: Scalar
    criterion: Scalar


def estimates(theta: Theta, stats: SuffStats, reml: bool = True) -> Estimates:
    """Return beta, its covariance, sigma and the criterion at theta."""
    return estimates_of(reduce(theta, stats), stats, reml)


def estimates_of(reduced: Reduced, stats: SuffStats, reml: bool) -> Estimates:
    """Do as `estimates`, the random effects having been eliminated."""
    profiled = profile_out(reduced.schur)
    dof = stats.n - stats.p if reml else stats.n
    pwrss = stats.scale**2 * profiled.pwrss
    beta = solve_upper(stats.R, stats.gamma_ols + stats.scale * profiled.gamma)
    half = solve_upper(stats.R, profiled.inverse)
    vcov = solve_upper(stats.R, half.T) * (pwrss / dof)
    xp = namespace(pwrss)
    return Estimates(
        beta, (vcov + vcov.T) / 2, xp.sqrt(pwrss / dof), deviance(reduced, profiled, stats, reml)
    )


def vcov(theta: Theta, stats: SuffStats, reml: bool = True) -> Float[Array, "p p"]:
    """Return the covariance matrix of the estimated fixed effects, theta and sigma taken as known.

        sigma^2 (X'V^-1X)^-1,     V = W^-1 + Z Lambda Lambda' Z'

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    stats
        Sufficient statistics.
    reml
        Whether sigma^2 is the REML estimate at theta (default) or that of maximum likelihood.

    Returns
    -------
    Float[Array, "p p"]
        In squared units of y per unit of X.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> core.vcov(np.array([2.72]), stats).round(3)
    array([[2.253]])
    """
    return estimates(theta, stats, reml).vcov
