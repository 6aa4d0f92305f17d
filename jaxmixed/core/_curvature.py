"""(theta, SuffStats) -> Information: the expected information on the (co)variances, and what goes with it.

Let psi hold the elements of every Sigma_t = sigma^2 Psi_t and, last, sigma^2. V is linear in psi, so that

    L(psi) = log|V|,     S(psi) = X'V^-1X

and their first and second derivatives hold all of what Kenward & Roger (1997, doi:10.2307/2533558) need. The
structure differentiates in Psi at sigma^2 = 1; sigma^2 follows from Euler's theorem, S being homogeneous of
degree -1 in psi, and exp(L) of degree n:

    sum_j psi_j S_j = -S,     sum_j psi_j S_ij = -2 S_i,     sum_j psi_j L_j = n,     sum_j psi_j L_ij = -L_i.

Everything is in conditioned coordinates, Psi~ = T Psi T', and in units of sigma, so that psi is (Psi~, 1).
"""

from typing import NamedTuple

from jaxtyping import Float

from ._covariance import covariances, symmetric_basis
from ._criterion import profile_out
from ._structure import Curvature
from ._suffstats import SuffStats, conditioned, conditioned_factors
from ._types import Array, Scalar, Theta, namespace


class Information(NamedTuple):
    """Derivatives of X'V^-1X in psi, m = k + 1 parameters, in units of sigma, and the information on psi.

    Attributes
    ----------
    inverse
        (X'V^-1X)^-1, the covariance of gamma, shape (p, p).
    d_XVX, dd_XVX
        Derivatives of X'V^-1X, shapes (m, p, p) and (m, m, p, p).
    expected
        Expectation of the second derivatives of the criterion, by restricted likelihood: tr(P V_i P V_j),
        shape (m, m).
    gamma, pwrss
        Coefficients of the conditioned X, shape (p,), and the penalised residual sum of squares, both in
        units of the conditioned response, not of sigma.
    """

    inverse: Float[Array, "p p"]
    d_XVX: Float[Array, "m p p"]
    dd_XVX: Float[Array, "m m p p"]
    expected: Float[Array, "m m"]
    gamma: Float[Array, " p"]
    pwrss: Scalar


def curvature(theta: Theta, stats: SuffStats) -> Curvature:
    """Differentiate log|V| and [X y]'V^-1[X y] twice in the conditioned Psi, at sigma = 1."""
    directions = [symmetric_basis(b, stats.C.dtype) for b in stats.blocks]
    return stats.structure.curvature(conditioned_factors(theta, stats), directions, stats.C)


def information(theta: Theta, curved: Curvature, stats: SuffStats) -> Information:
    """Return the expected information on psi at theta.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    curved
        `curvature(theta, stats)`.
    stats
        Sufficient statistics.
    """
    xp = namespace(curved.schur)
    psi, _ = covariances(conditioned(theta, stats), stats.blocks)
    profiled = profile_out(curved.schur)
    inverse = profiled.inverse
    XVX, d_XVX, dd_XVX = (S[..., :-1, :-1] for S in (curved.schur, curved.d_schur, curved.dd_schur))
    d_XVX, dd_XVX = _with_residual(psi, -XVX, d_XVX, dd_XVX, 2)
    _, dd_logdet = _with_residual(psi, stats.n, curved.d_logdet, curved.dd_logdet, 1)
    half = inverse @ d_XVX
    dd_log = xp.einsum("ab,ijba->ij", inverse, dd_XVX) - xp.einsum("iab,jba->ij", half, half)
    return Information(inverse, d_XVX, dd_XVX, -dd_logdet - dd_log, profiled.gamma, profiled.pwrss)


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
