"""The minimum as a smooth function of the data, whatever search has found it.

At theta-hat the slope of the criterion f is zero for whatever data s, so that

    d theta-hat = -H^-1 d_s (df / d theta),     H = d^2 f / d theta^2           (implicit function theorem)
    d f(theta-hat(s), s) = d_s f                                                (envelope theorem)

Nothing of the search is differentiated. The rules are stated in terms of themselves, with the data as
arguments, and so hold in forward and reverse mode, under every transformation, and to any order.

A random effect whose variance is zero needs no rule of its own. f is even in every column of Lambda: at a
column of zeros the slope of f along it is zero for all data, its second derivatives with other columns
vanish too, and the column stays zero, as it does in a refit to data that are nearly the same. Directions in
which f does not curve at all are left out by the generalised inverse: along a rotation of Lambda that keeps
Lambda Lambda' nothing else moves either.
"""

import functools

import jax
from jaxtyping import Float

from ._criterion import conditioned_criterion
from ._suffstats import SuffStats, conditioned, unconditioned
from ._sweep import sweep
from ._types import Array, Scalar, Theta

_slope = jax.grad(conditioned_criterion)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def minimum(theta: Theta, stats: SuffStats, reml: bool) -> Theta:
    """Return theta, which minimises the criterion, as a function of the statistics.

    theta is in conditioned coordinates; its own derivative is ignored, a minimum knowing no start.
    """
    return theta


@minimum.defjvp
def _(reml, primals, tangents):
    (theta, stats), (_, d_stats) = primals, tangents
    theta = minimum(theta, stats, reml)
    hessian: Float[Array, "k k"] = jax.jacfwd(_slope)(theta, stats, reml)
    _, d_slope = jax.jvp(lambda s: _slope(theta, s, reml), (stats,), (d_stats,))
    return theta, -sweep(hessian).inverse @ d_slope


def as_minimum(theta: Theta, stats: SuffStats, reml: bool = True) -> Theta:
    """Return a theta that minimises the criterion, however it was found, as a function of the statistics.

    Parameters
    ----------
    theta
        Where the gradient of `criterion` vanishes, shape (k,). Its own derivatives are ignored.
    stats
        Sufficient statistics.
    reml
        Whose criterion.

    Returns
    -------
    Theta
        theta, with the derivatives in `stats` that `fit(stats, reml).theta` has.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from jaxmixed import core
    >>> group, ones = np.repeat(np.arange(4), 3), np.ones((12, 1))
    >>> def stats(y):
    ...     return core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> y = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2])
    >>> theta = core.fit(stats(y)).theta
    >>> jax.jacrev(lambda y: core.as_minimum(theta, stats(y)))(y).shape
    (1, 12)
    """
    constant = jax.tree.map(jax.lax.stop_gradient, stats)
    return unconditioned(minimum(conditioned(theta, constant), stats, reml), stats)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def minimal_value(value: Scalar, theta: Theta, stats: SuffStats, reml: bool) -> Scalar:
    """Return the value of the criterion at its minimum theta as a function of the statistics."""
    return value


@minimal_value.defjvp
def _(reml, primals, tangents):
    (value, theta, stats), (_, _, d_stats) = primals, tangents
    _, tangent = jax.jvp(lambda s: conditioned_criterion(theta, s, reml), (stats,), (d_stats,))
    return minimal_value(value, theta, stats, reml), tangent
