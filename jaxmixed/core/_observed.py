"""(theta, SuffStats) -> Observed: the observed information on (theta, sigma), and what goes with it.

With beta profiled out and V0 = V / sigma^2,

    d(theta, sigma) = log|V0| + log|X'V0^-1X| + dof log sigma^2 + pwrss(theta) / sigma^2

(the second term by restricted likelihood only). At the sigma that maximises the likelihood,
pwrss = dof sigma^2, so that in units of sigma

    d_sigma = 0,     d_sigma,sigma = 4 dof,     d_theta,sigma = -2 pwrss_theta.

Everything is in conditioned coordinates, where Psi = Lambda Lambda' is quadratic in theta.
"""

from typing import NamedTuple

from jaxtyping import Float

from ._covariance import covariance_curves
from ._criterion import profile_out
from ._structure import Curvature
from ._suffstats import SuffStats, conditioned
from ._types import Array, Scalar, Theta, namespace, pad


class Observed(NamedTuple):
    """Covariance of gamma and criterion, derived in (theta, sigma), m = k + 1 parameters, in units of sigma.

    Attributes
    ----------
    inverse
        (X'V^-1X)^-1, the covariance of gamma, shape (p, p).
    slopes
        Its derivatives in (theta, sigma), shape (m, p, p).
    hessian
        Second derivatives of the criterion in (theta, sigma), beta profiled out, shape (m, m).
    gamma, pwrss
        Coefficients of the conditioned X, shape (p,), and the penalised residual sum of squares, both in
        units of the conditioned response, not of sigma.
    """

    inverse: Float[Array, "p p"]
    slopes: Float[Array, "m p p"]
    hessian: Float[Array, "m m"]
    gamma: Float[Array, " p"]
    pwrss: Scalar


def observed(theta: Theta, curved: Curvature, stats: SuffStats, reml: bool = True) -> Observed:
    """Return the observed information on (theta, sigma), at theta and the sigma that is best there.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    curved
        `curvature(theta, stats)`.
    stats
        Sufficient statistics.
    reml
        Whether of the restricted likelihood (default) or of the likelihood.
    """
    xp, k = namespace(curved.schur), len(theta)
    _, inverse, gamma, pwrss = profile_out(curved.schur)
    dof = stats.n - stats.p if reml else stats.n
    # In psi, the elements of Psi: what a change of S does to the criterion is linear but for `bent`.
    v = xp.concatenate([-gamma, xp.ones(1, gamma.dtype)]) * xp.sqrt(dof / pwrss)
    moved, half = curved.d_schur @ v, inverse @ curved.d_schur[:, :-1, :-1]
    weight, across = v[:, None] * v, moved[:, :-1]
    bent = 2 * across @ inverse @ across.T
    if reml:
        weight = weight + pad(inverse, ((0, 1), (0, 1)))
        bent = bent + half.reshape(k, -1) @ half.swapaxes(1, 2).reshape(k, -1).T
    weight = weight.reshape(-1)
    gradient = curved.d_logdet + curved.d_schur.reshape(k, -1) @ weight
    second = curved.dd_logdet + curved.dd_schur.reshape(k, k, -1) @ weight - bent
    # in theta, and in sigma
    curves = covariance_curves(stats.blocks, theta.dtype)
    jacobian = curves @ conditioned(theta, stats)
    inner = jacobian.T @ second @ jacobian + (gradient @ curves.reshape(k, -1)).reshape(k, k)
    beside = moved @ (-2 * v) @ jacobian
    border = xp.concatenate([beside, (4 * dof)[None]])
    hessian = xp.concatenate([xp.concatenate([inner, beside[None]]), border[:, None]], axis=1)
    in_theta = -(jacobian.T @ (half @ inverse).reshape(k, -1)).reshape(k, *inverse.shape)
    slopes = xp.concatenate([in_theta, 2 * inverse[None]])
    return Observed(inverse, slopes, hessian, gamma, pwrss)
