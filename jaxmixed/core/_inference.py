"""From a fitted theta to tests of beta: Wald, Satterthwaite and Kenward-Roger.

The covariance of beta is a function of variance parameters that were estimated. Satterthwaite's degrees of
freedom take their covariance from the observed information on (theta, sigma), as lmerTest does; Kenward
and Roger's from the expected information on psi, in which V is linear and the boundary is no obstacle.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ._covariance import n_theta
from ._criterion import Profiled, profile_out, reduce
from ._curvature import Information, curvature, information
from ._observed import Observed, observed
from ._reference import KenwardRoger, KnownDf, Satterthwaite
from ._structure import Curvature
from ._suffstats import SuffStats, unconditioned
from ._sweep import sweep
from ._types import Array, Scalar, Theta, namespace, pad


class VarianceParameters(NamedTuple):
    """Asymptotic distribution of the variance parameters.

    Attributes
    ----------
    values
        (theta, sigma), shape (k + 1,); theta relative to sigma, sigma in units of y.
    vcov
        2 H^-1, H being the Hessian of the criterion in (theta, sigma), shape (k + 1, k + 1).
    skipped
        Parameters that the data say nothing about at this point; their rows of `vcov` are zero.
    """

    values: Float[Array, " m"]
    vcov: Float[Array, "m m"]
    skipped: Bool[Array, " m"]


def wald(theta: Theta, stats: SuffStats, reml: bool = True, df: Scalar | float = np.inf) -> KnownDf:
    """Refer t and F to a given number of degrees of freedom: infinite for z and chi-square tests.

    Parameters
    ----------
    theta
        Fitted relative covariance parameters, shape (k,).
    stats
        Sufficient statistics.
    reml
        How theta was estimated.
    df
        Degrees of freedom of every test.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> core.wald(np.array([2.72]), stats).t_test(np.eye(1)).p_value.round(4)
    array([0.0046])
    """
    profiled = profile_out(reduce(theta, stats).schur)
    covariance = profiled.inverse * _scale(profiled, stats, reml)
    df = namespace(covariance).asarray(df, covariance.dtype)
    return KnownDf(stats.R, _gamma(profiled, stats), covariance, df)


def satterthwaite(
    theta: Theta, stats: SuffStats, reml: bool = True, curved: Curvature | None = None
) -> Satterthwaite:
    """Refer t and F to Satterthwaite's degrees of freedom.

        df = 2 (l'V l)^2 / (g'A g),    g = d l'V l / d (theta, sigma),    A = 2 H^-1

    A variance of zero counts as known: g is zero there, the criterion being even in theta.

    Parameters
    ----------
    theta
        Fitted relative covariance parameters, shape (k,).
    stats
        Sufficient statistics.
    reml
        How theta was estimated.
    curved
        `curvature(theta, stats)`, if it is at hand.

    References
    ----------
    Kuznetsova, Brockhoff & Christensen (2017), doi:10.18637/jss.v082.i13.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> core.satterthwaite(np.array([2.72]), stats).t_test(np.eye(1)).df.round(2)
    array([2.99])
    """
    curved = curvature(theta, stats) if curved is None else curved
    known = observed(theta, curved, stats, reml)
    scale = _scale(known, stats, reml)
    swept = sweep(known.hessian)
    return Satterthwaite(
        stats.R,
        _gamma(known, stats),
        known.inverse * scale,
        known.slopes * scale,
        2 * swept.inverse,
        swept.skipped,
    )


def kenward_roger(theta: Theta, stats: SuffStats, curved: Curvature | None = None) -> KenwardRoger:
    """Refer t and F to Kenward and Roger's approximation, with their adjusted covariance of beta.

        V_adjusted = Phi + 2 Phi sum_ij W_ij (Q_ij - P_i Phi P_j) Phi

    with Phi = (X'V^-1X)^-1, P_i = d (X'V^-1X) / d psi_i, Q_ij + Q_ji the second derivatives, and W the
    inverse of half the expected information on psi. Made for restricted maximum likelihood.

    Parameters
    ----------
    theta
        Relative covariance parameters fitted by REML, shape (k,).
    stats
        Sufficient statistics.
    curved
        `curvature(theta, stats)`, if it is at hand.

    References
    ----------
    Kenward & Roger (1997), doi:10.2307/2533558; Halekoh & Hojsgaard (2014), doi:10.18637/jss.v059.i09.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> core.kenward_roger(np.array([2.72]), stats).t_test(np.eye(1)).df.round(2)
    array([3.])
    """
    curved = curvature(theta, stats) if curved is None else curved
    xp = namespace(curved.schur)
    known = information(theta, curved, stats)
    scale = _scale(known, stats, reml=True)
    swept = sweep(known.expected)
    W, inverse = 2 * swept.inverse, known.inverse
    moved = xp.einsum("ij,jab->iab", W, known.d_XVX)
    PP = xp.einsum("iab,bc,icd->ad", known.d_XVX, inverse, moved)
    excess = xp.einsum("ij,ijab->ab", W, known.dd_XVX) / 2 - PP
    adjusted = inverse + 2 * inverse @ excess @ inverse
    return KenwardRoger(
        stats.R,
        _gamma(known, stats),
        adjusted * scale,
        -inverse @ known.d_XVX @ inverse * scale,
        W,
        swept.skipped,
        inverse * scale,
    )


def variance_parameters(
    theta: Theta, stats: SuffStats, reml: bool = True, curved: Curvature | None = None
) -> VarianceParameters:
    """Return the asymptotic distribution of (theta, sigma), from the observed information.

    Parameters
    ----------
    theta
        Fitted relative covariance parameters, shape (k,).
    stats
        Sufficient statistics.
    reml
        How theta was estimated.
    curved
        `curvature(theta, stats)`, if it is at hand.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> np.sqrt(np.diag(core.variance_parameters(np.array([2.72]), stats).vcov)).round(2)
    array([1.36, 0.27])
    """
    curved = curvature(theta, stats) if curved is None else curved
    xp = namespace(curved.schur)
    known = observed(theta, curved, stats, reml)
    swept = sweep(known.hessian)
    sigma = xp.sqrt(_scale(known, stats, reml))
    last = xp.eye(len(theta) + 1, dtype=sigma.dtype)[-1]
    back = pad(_unconditioning(stats), ((0, 1), (0, 1))) + sigma * last[:, None] * last[None, :]
    vcov = 2 * back @ swept.inverse @ back.T
    return VarianceParameters(xp.concatenate([theta, sigma[None]]), vcov, swept.skipped)


def _scale(found: Information | Observed | Profiled, stats: SuffStats, reml: bool) -> Scalar:
    """Return sigma^2 in squared units of y."""
    dof = stats.n - stats.p if reml else stats.n
    return stats.scale**2 * found.pwrss / dof


def _gamma(found: Information | Observed | Profiled, stats: SuffStats) -> Float[Array, " p"]:
    """Return R beta."""
    return stats.gamma_ols + stats.scale * found.gamma


def _unconditioning(stats: SuffStats) -> Float[Array, "k k"]:
    """Return d theta / d conditioned theta, which is constant."""
    k = sum(map(n_theta, stats.blocks))
    return namespace(*stats.T).stack(
        [unconditioned(e, stats) for e in np.eye(k, dtype=stats.C.dtype)], axis=1
    )
