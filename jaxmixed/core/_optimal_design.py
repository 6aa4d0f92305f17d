"""What a design that has not been run would say: variances of contrasts and power, to be differentiated.

    Var(l'beta-hat) = sigma^2 l'(X'V^-1X)^-1 l,     power = P(|N(delta, 1)| > z),  delta = l'beta / sd

at assumed parameters. No response enters. Through `suffstats` both are smooth functions of the design
points in X and z and of the weights of rows, through `Clusters.weighted` of the number of groups of each
kind: their gradients say where a measurement, or a group, is worth most (Fedorov & Leonov 2013,
Optimal Design for Nonlinear Response Models, doi:10.1201/b15054).
"""

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Float

from ._row_variance import row_variance
from ._suffstats import SuffStats
from ._types import Array, Scalar, Theta


def contrast_variance(
    L: Float[Array, "r p"], theta: Theta, sigma: Scalar | float, stats: SuffStats
) -> Float[Array, " r"]:
    """Return the variances of contrasts of the fixed effects at assumed variances.

    Parameters
    ----------
    L
        Contrasts, shape (r, p).
    theta
        Assumed relative covariance parameters, shape (k,).
    sigma
        Assumed residual standard deviation, in units of y.
    stats
        Statistics of the design. What they hold of a response is not used: zeros will do for y.

    Returns
    -------
    Float[Array, " r"]
        In squared units of L beta.

    Examples
    --------
    Four visits, a line with random intercepts: the slope gains by moving the inner visits outwards.

    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from jaxmixed import core
    >>> def variance(times):
    ...     X = jnp.column_stack([jnp.ones(40), jnp.tile(times, 10)])
    ...     term = core.RandomTerm(np.ones((40, 1)), np.repeat(np.arange(10), 4), 10, (1,))
    ...     stats = core.suffstats(core.Design(jnp.zeros(40), X, (term,)))
    ...     return core.contrast_variance(np.eye(2)[1:], np.array([1.0]), 1.0, stats)[0]
    >>> print(jax.grad(variance)(jnp.array([0.0, 1.0, 2.0, 3.0])).round(3))
    [ 0.012  0.004 -0.004 -0.012]
    """
    return sigma**2 * row_variance(theta, stats, L)


def wald_power(
    L: Float[Array, "r p"],
    beta: Float[Array, " p"],
    theta: Theta,
    sigma: Scalar | float,
    stats: SuffStats,
    alpha: float = 0.05,
) -> Float[Array, " r"]:
    """Return the power of two-sided z tests that contrasts are zero, at assumed parameters.

    Variances count as known: in small samples power is less than that.

    Parameters
    ----------
    L, theta, sigma, stats
        As in `contrast_variance`.
    beta
        Assumed fixed effects, shape (p,).
    alpha
        Level of the tests.

    Returns
    -------
    Float[Array, " r"]
        Probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> ones, group = np.ones((40, 1)), np.repeat(np.arange(10), 4)
    >>> stats = core.suffstats(core.Design(np.zeros(40), ones, (core.RandomTerm(ones, group, 10, (1,)),)))
    >>> (power,) = core.wald_power(np.eye(1), np.array([1.0]), np.array([1.0]), 1.0, stats)
    >>> round(float(power), 3)
    0.807
    """
    delta = L @ beta / jnp.sqrt(contrast_variance(L, theta, sigma, stats))
    z = ndtri(jnp.asarray(1 - alpha / 2, delta.dtype))
    return ndtr(delta - z) + ndtr(-delta - z)
