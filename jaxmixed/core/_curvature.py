"""(theta, SuffStats) -> Information: what tests of beta and standard errors of variances rest on.

Let psi hold the elements of every Sigma_t = sigma^2 Psi_t and, last, sigma^2. V is linear in psi, so that

    L(psi) = log|V|,     S(psi) = [X y]'V^-1[X y]

and their first and second derivatives hold the observed and the expected information, and all of what
Kenward & Roger (1997, doi:10.2307/2533558) need. The structure differentiates in Psi at sigma^2 = 1;
sigma^2 follows from Euler's theorem, S being homogeneous of degree -1 in psi, and exp(L) of degree n:

    sum_j psi_j S_j = -S,     sum_j psi_j S_ij = -2 S_i,     sum_j psi_j L_j = n,     sum_j psi_j L_ij = -L_i.

Everything is in conditioned coordinates, Psi~ = T Psi T', and in units of sigma, so that psi is (Psi~, 1).
"""

from typing import NamedTuple

from jaxtyping import Float

from ._covariance import positions, symmetric_basis
from ._criterion import profile_out
from ._structure import Curvature
from ._suffstats import SuffStats, conditioned_factors
from ._types import Array, Scalar, Theta, namespace


class Information(NamedTuple):
    """Derivatives of likelihood and X'V^-1X in psi, m = k + 1 parameters, in units of sigma.

    Attributes
    ----------
    XVX
        X'V^-1X, shape (p, p).
    inverse
        Its inverse, the covariance of gamma.
    d_XVX, dd_XVX
        Its derivatives, shapes (m, p, p) and (m, m, p, p).
    gradient, observed
        First and second derivatives of the criterion, beta profiled out, shapes (m,) and (m, m).
    expected
        Expectation of `observed` for the restricted likelihood, tr(P V_i P V_j).
    gamma, pwrss
        Coefficients of the conditioned X, shape (p,), and the penalised residual sum of squares, both in
        units of the conditioned response, not of sigma.
    """

    XVX: Float[Array, "p p"]
    inverse: Float[Array, "p p"]
    d_XVX: Float[Array, "m p p"]
    dd_XVX: Float[Array, "m m p p"]
    gradient: Float[Array, " m"]
    observed: Float[Array, "m m"]
    expected: Float[Array, "m m"]
    gamma: Float[Array, " p"]
    pwrss: Scalar


def curvature(theta: Theta, stats: SuffStats) -> Curvature:
    """Differentiate log|V| and [X y]'V^-1[X y] twice in the conditioned Psi, at sigma = 1."""
    directions = [symmetric_basis(b, stats.C.dtype) for b in stats.blocks]
    return stats.structure.curvature(conditioned_factors(theta, stats), directions, stats.C)


def information(theta: Theta, curved: Curvature, stats: SuffStats, reml: bool = True) -> Information:
    """Return the information on psi at theta, and at the sigma that maximises the likelihood there.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    curved
        `curvature(theta, stats)`.
    stats
        Sufficient statistics.
    reml
        Whose observed information: that of the restricted likelihood (default) or of the likelihood.
    """
    xp = namespace(curved.schur)
    factors = zip(conditioned_factors(theta, stats), stats.blocks, strict=True)
    psi = xp.concatenate([(L @ L.T)[positions(b)] for L, b in factors])
    profiled = profile_out(curved.schur)
    dof = stats.n - stats.p if reml else stats.n
    in_sigmas = xp.concatenate([xp.ones(stats.p, curved.schur.dtype), xp.sqrt(dof / profiled.pwrss)[None]])
    scale = in_sigmas[:, None] * in_sigmas[None, :]
    schur = curved.schur * scale
    d_schur, dd_schur = _with_residual(psi, -schur, curved.d_schur * scale, curved.dd_schur * scale, 2)
    d_logdet, dd_logdet = _with_residual(psi, stats.n, curved.d_logdet, curved.dd_logdet, 1)
    XVX, inverse = schur[:-1, :-1], profiled.inverse
    d_XVX, dd_XVX = d_schur[:, :-1, :-1], dd_schur[:, :, :-1, :-1]
    half = inverse @ d_XVX
    d_log = xp.einsum("iaa->i", half)
    dd_log = xp.einsum("ab,ijba->ij", inverse, dd_XVX) - xp.einsum("iab,jba->ij", half, half)
    v = xp.concatenate([-inverse @ schur[:-1, -1], xp.ones(1, schur.dtype)])
    moved = d_schur @ v
    across = moved[:, :-1]
    d_pwrss, dd_pwrss = moved @ v, xp.einsum("ijab,a,b->ij", dd_schur, v, v)
    dd_pwrss = dd_pwrss - 2 * across @ inverse @ across.T
    gradient, observed = d_logdet + d_pwrss, dd_logdet + dd_pwrss
    if reml:
        gradient, observed = gradient + d_log, observed + dd_log
    expected = -dd_logdet - dd_log
    return Information(
        XVX, inverse, d_XVX, dd_XVX, gradient, observed, expected, profiled.gamma, profiled.pwrss
    )


def _with_residual(psi: Theta, total: Array, first: Array, second: Array, degree: int):
    """Append the derivatives in sigma^2 = 1.

    Over all parameters, sum_j psi_j f_j = total and sum_j psi_j f_ij = -degree f_i.
    """
    xp = namespace(first)
    by_residual = total - xp.einsum("j,j...->...", psi, first)
    mixed = -degree * first - xp.einsum("j,j...->...", psi, second)
    twice = -degree * by_residual - xp.einsum("j,j...->...", psi, mixed)
    rows = xp.concatenate([second, mixed[:, None]], axis=1)
    last = xp.concatenate([mixed, twice[None]])
    return xp.concatenate([first, by_residual[None]]), xp.concatenate([rows, last[None]])
