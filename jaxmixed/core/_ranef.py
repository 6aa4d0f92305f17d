"""Random effects given the data: conditional modes, their covariance, and what they predict.

    b | y  ~  N(Lambda M^-1 Lambda' Z'W (y - X beta),  sigma^2 Lambda M^-1 Lambda'),
    M = Lambda'Z'WZLambda + I

at the estimated beta, theta and sigma. The modes are the best linear unbiased predictions (BLUPs).
"""

from typing import NamedTuple

from jaxtyping import Float

from ._criterion import profile_out
from ._structure import Levels, Posterior
from ._suffstats import SuffStats, conditioned_factors
from ._triangular import solve_lower
from ._types import Array, Scalar, Theta, namespace


class RandomEffects(NamedTuple):
    """Conditional distribution of the random effects of one grouping factor.

    Attributes
    ----------
    modes
        Conditional means, in units of y per unit of z, shape (J, q).
    covariances
        Conditional covariances at known beta, theta and sigma, shape (J, q, q).
    """

    modes: Float[Array, "J q"]
    covariances: Float[Array, "J q q"]


def ranef_modes(theta: Theta, stats: SuffStats) -> tuple[Float[Array, "J q"], ...]:
    """Return the conditional modes of every grouping factor at theta, one (J, q) array each."""
    return modes_of(posterior(theta, stats), stats)


def ranef(theta: Theta, sigma: Scalar, stats: SuffStats) -> tuple[RandomEffects, ...]:
    """Return the conditional distribution of the random effects, one a grouping factor.

    Parameters
    ----------
    theta
        Relative covariance parameters, shape (k,).
    sigma
        Residual standard deviation, in units of y.
    stats
        Statistics that hold every level: `suffstats(design)`.

    Returns
    -------
    tuple of RandomEffects
        In the order of the design's terms.

    Raises
    ------
    ValueError
        If the statistics are compressed.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> (effects,) = core.ranef(np.array([2.85]), 1.1, stats)
    >>> effects.modes[:, 0].round(2)
    array([-2.16,  3.6 ,  1.04, -2.48])
    """
    return effects_of(posterior(theta, stats), sigma, stats)


def effects_of(of_levels: Posterior, sigma: Scalar, stats: SuffStats) -> tuple[RandomEffects, ...]:
    """Do as `ranef`, the random effects having been eliminated."""
    covariances = []
    for T, K in zip(stats.T, of_levels.covariances(), strict=True):
        # T^-1 K T^-T for all levels at once: a solve along the first axis of (q, J * q).
        J, q = K.shape[:2]
        half = solve_lower(T, K.transpose(1, 0, 2).reshape(q, J * q)).reshape(q, J, q)
        full = solve_lower(T, half.transpose(2, 1, 0).reshape(q, J * q)).reshape(q, J, q)
        covariances.append(sigma**2 * full.transpose(1, 0, 2))
    pairs = zip(modes_of(of_levels, stats), covariances, strict=True)
    return tuple(RandomEffects(b, V) for b, V in pairs)


def posterior(theta: Theta, stats: SuffStats) -> Posterior:
    """Eliminate the random effects at theta, keeping what is asked of single levels."""
    return _levels(stats).posterior(conditioned_factors(theta, stats), stats.C)


def modes_of(of_levels: Posterior, stats: SuffStats) -> tuple[Float[Array, "J q"], ...]:
    """Do as `ranef_modes`, the random effects having been eliminated."""
    gamma = profile_out(of_levels.reduced.schur).gamma
    xp = namespace(stats.C, gamma)
    v = xp.concatenate([-gamma, xp.ones(1, stats.C.dtype)])
    pairs = zip(stats.T, of_levels.modes(v[:, None]), strict=True)
    return tuple(stats.scale * solve_lower(T, b[:, :, 0].T).T for T, b in pairs)


def _levels(stats: SuffStats) -> Levels:
    if not isinstance(stats.structure, Levels):
        raise ValueError("These statistics are compressed and hold no single levels; use suffstats(design).")
    return stats.structure
