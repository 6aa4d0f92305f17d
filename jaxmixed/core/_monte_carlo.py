"""How far off estimates by iterative methods may be: the Monte Carlo error of log|B|, carried to theta.

    criterion^ = criterion + mean of e_s(theta),        theta^ - theta  ~  -H^-1 mean of d e_s / d theta

over the probes s, independent and alike, so that their spread gives the standard errors of both means.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from ._covariance import relative_factors
from ._criterion import estimates_of
from ._fit import Fit
from ._host import on_host
from ._iterative import IterativeCrossed
from ._suffstats import SuffStats, conditioned, unconditioned
from ._sweep import sweep
from ._types import Array, Scalar


class MonteCarlo(NamedTuple):
    """Standard errors that come from the signs an iterative fit has drawn, not from the data.

    Attributes
    ----------
    criterion
        Of the criterion, on the deviance scale.
    variances
        Covariance of (theta, sigma), shape (k + 1, k + 1).
    theta_se
        The standard error of theta that comes from the data, by the average information, shape (k,).
    beta
        Of the fixed effects, shape (p,).
    residual
        Largest residual of the solves at theta, relative to their right-hand sides.
    steps
        Number of their steps.
    """

    criterion: Scalar
    variances: Float[Array, "m m"]
    theta_se: Float[Array, " k"]
    beta: Float[Array, " p"]
    residual: Scalar
    steps: Int[Array, ""]


def monte_carlo(fit: Fit, stats: SuffStats, reml: bool = True) -> MonteCarlo:
    """Return the Monte Carlo errors of a fit by iterative methods.

    Parameters
    ----------
    fit
        `fit(stats, reml)`.
    stats
        Sufficient statistics, made with `solver="iterative"`.
    reml
        How the fit was estimated.

    Raises
    ------
    ValueError
        If the statistics were made for another solver, which has no such error.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> a, b = np.divmod(np.arange(30), 5)
    >>> y, ones = np.sin(np.arange(30.0)) + a, np.ones((30, 1))
    >>> terms = core.RandomTerm(ones, a, 6, (1,)), core.RandomTerm(ones, b, 5, (1,))
    >>> stats = core.suffstats(core.Design(y, ones, terms), solver="iterative")
    >>> error = core.monte_carlo(core.fit(stats), stats)
    >>> error.variances.shape
    (3, 3)
    """
    if not isinstance(stats.structure, IterativeCrossed):
        raise ValueError("These statistics are solved directly, without a Monte Carlo error; none to report.")
    return (_restricted if reml else _unrestricted)(fit.theta, fit.hessian, stats)


def _errors(reml: bool, theta, hessian, stats: SuffStats) -> MonteCarlo:
    structure: Any = stats.structure

    def parts(theta):
        solved = structure.solve(relative_factors(theta, stats.blocks), stats.C)
        m, found = structure.n_probes, estimates_of(solved.reduced, stats, reml)
        values = solved.logarithms[-m:], unconditioned(theta, stats), found.sigma[None], found.beta
        return values, (solved.logarithms[-m:], solved.krylov)

    _, slope, (logs, krylov) = jax.linearize(parts, conditioned(theta, stats), has_aux=True)
    along = jax.lax.map(slope, jnp.eye(len(theta), dtype=theta.dtype))
    of_logs, *of_parameters = (part.T for part in along)
    m = len(logs)
    inverse = sweep(hessian).inverse
    moved = inverse @ (of_logs - of_logs.mean(0)).T
    in_theta = moved @ moved.T / (m * (m - 1))
    back, variances, beta = of_parameters[0], jnp.concatenate(of_parameters[:2]), of_parameters[2]
    return MonteCarlo(
        logs.std(ddof=1) / jnp.sqrt(m),
        variances @ in_theta @ variances.T,
        jnp.sqrt(2 * jnp.diagonal(back @ inverse @ back.T)),
        jnp.sqrt(jnp.einsum("pa,ab,pb->p", beta, in_theta, beta)),
        krylov.residual.max(),
        krylov.steps,
    )


_restricted, _unrestricted = (on_host(partial(_errors, reml)) for reml in (True, False))
