"""The log likelihood of any beta and any variances, nothing profiled out: a density for other programs.

    -2 log L = log|V| + n log(2 pi sigma^2) - sum log w + r'V^-1 r / sigma^2,     r = y - offset - X beta

with V = W^-1 + Z Psi Z' and Psi_t = Sigma_t / sigma^2. In conditioned coordinates r = [Q u]v with
v = (gamma_ols - R beta, scale), so that r'V^-1 r = v'S v: no row is looked at.

The variances psi = (elements of every Sigma_t, sigma^2) enter V linearly. The elimination of the random
effects takes a root of Psi, but its derivatives are stated in Psi, and so hold at singular Sigma too.
"""

import jax
import numpy as np
from jaxtyping import Float

from ._covariance import covariances, n_theta, symmetric_basis
from ._elimination import Shifted
from ._suffstats import SuffStats
from ._types import Array, Scalar, Theta, namespace

TWO_PI = 2 * np.pi
ROUNDING = 100  # times eps: a pivot this small, relative to the variance it is left of, is zero


def psi(theta: Theta, sigma: Scalar, stats: SuffStats) -> Float[Array, " m"]:
    """Return the variance parameters of `loglik`, given those of `fit`.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    sigma
        Residual standard deviation, in units of y.
    stats
        Sufficient statistics.

    Returns
    -------
    Float[Array, " m"]
        Lower triangles of every Sigma_t, listed as theta lists those of Lambda_t, and last sigma^2: shape
        (k + 1,), in squared units of y.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> ones = np.ones((6, 2))
    >>> ones[:, 1] = np.arange(6) % 3
    >>> term = core.RandomTerm(ones, np.arange(6) // 3, 2, (2,))
    >>> stats = core.suffstats(core.Design(np.arange(6.0) ** 2, ones, (term,)))
    >>> core.psi(np.array([1.0, 0.5, 2.0]), 2.0, stats)
    array([ 4.,  2., 17.,  4.])
    """
    xp = namespace(theta, sigma, stats.C)
    values, _ = covariances(xp.asarray(theta), stats.blocks)
    return sigma**2 * xp.concatenate([values, xp.ones(1, values.dtype)])


def loglik(beta: Float[Array, " p"], psi: Float[Array, " m"], stats: SuffStats) -> Scalar:
    """Return the Gaussian log likelihood of the response, at any beta and psi.

    A smooth function of beta, psi and the statistics, singular Sigma included: a log density for samplers
    and optimisers. Its maximum over beta and psi is that of `fit(stats, reml=False)`; integrated over
    beta it is the restricted likelihood of `criterion`.

    Parameters
    ----------
    beta
        Fixed effects, in units of y per unit of X, shape (p,).
    psi
        Lower triangles of every Sigma_t, listed as theta lists those of Lambda_t, and last sigma^2, all in
        squared units of y, shape (k + 1,): what the function `psi` returns.
    stats
        Sufficient statistics, `compress(design)` or `suffstats(design)`.

    Returns
    -------
    Scalar
        log p(y | beta, psi); NaN where sigma^2 is not positive or some Sigma_t not positive semidefinite.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), doi:10.18637/jss.v067.i01.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> round(float(core.loglik(np.array([4.25]), np.array([9.0, 1.0]), stats)), 4)
    -23.8033
    """
    k = sum(map(n_theta, stats.blocks))
    xp = namespace(beta, psi, stats.C)
    if xp is not np:
        stats = jax.tree.map(xp.asarray, stats)
    beta, psi = xp.asarray(beta, stats.C.dtype), xp.asarray(psi, stats.C.dtype)
    if psi.shape != (k + 1,) or beta.shape != (stats.p,):
        raise ValueError(
            f"beta and psi have shapes {beta.shape} and {psi.shape}; the statistics expect ({stats.p},) and "
            f"({k + 1},): every element of each Sigma_t, then sigma^2."
        )
    positive = psi[-1] > 0
    variance = xp.where(positive, psi[-1], 1.0)
    reduced = stats.structure.reduce(_factors(psi[:-1] / variance, stats), stats.C)
    v = xp.concatenate([stats.gamma_ols - stats.R @ beta, stats.scale[None]])
    squares = v @ reduced.schur @ v / variance
    logdet = reduced.logdet + stats.n * xp.log(TWO_PI * variance) - stats.log_weights
    return xp.where(positive, -(logdet + squares) / 2, xp.nan)


def _factors(relative: Float[Array, " k"], stats: SuffStats):
    """Return, for each factor, T times a root of Psi, and T dPsi T', zero, which carries derivatives."""
    factors, first = [], 0
    for T, b in zip(stats.T, stats.blocks, strict=True):
        xp, k = namespace(relative, T), n_theta(b)
        Psi = xp.tensordot(relative[first : first + k], symmetric_basis(b, relative.dtype), 1)
        first += k
        if xp is np:
            factors.append(T @ _root(Psi))
        else:
            constant = jax.lax.stop_gradient(Psi)
            factors.append(Shifted(T @ _root(constant), T @ (Psi - constant) @ T.T))
    return factors


def _root(Psi: Float[Array, "q q"]) -> Float[Array, "q q"]:
    """Return a lower-triangular L with LL' = Psi; NaN if Psi is not positive semidefinite.

    A pivot of zero leaves a column of zeros.
    """
    xp, (diagonal, rest), columns = namespace(Psi), (namespace(Psi).diagonal(Psi), Psi), []
    rounding = ROUNDING * xp.finfo(Psi.dtype).eps
    for j in range(len(Psi)):
        positive = rest[j, j] > rounding * diagonal[j]
        column = rest[:, j] / xp.sqrt(xp.where(positive, rest[j, j], 1.0)) * (np.arange(len(Psi)) >= j)
        columns.append(xp.where(positive, column, 0.0).astype(Psi.dtype))
        rest = rest - columns[-1][:, None] * columns[-1][None, :]
    size = xp.sqrt(xp.abs(diagonal))
    indefinite = xp.abs(rest) > rounding**0.5 * size[:, None] * size[None, :]
    return xp.where(indefinite.any(), xp.nan, xp.stack(columns, axis=1))
