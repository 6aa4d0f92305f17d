"""Bootstrap intervals of several statistics, from their replicates.

With estimate t, replicates t*, alpha/2 = a and q the quantiles of the replicates:

    percentile     q(a), q(1 - a)
    basic          2 t - q(1 - a), 2 t - q(a)
    normal         t - bias -/+ z sd(t*)
    studentized    t - se c(1 - a), t - se c(a),   c the quantiles of (t* - t) / se*
    bca            q(Phi(z0 + (z0 + z) / (1 - acceleration (z0 + z))))

(Davison & Hinkley 1997, chapter 5; Efron 1987, doi:10.1080/01621459.1987.10478410, for bca, whose
acceleration comes from leaving out one group at a time.)
"""

from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

Method = Literal["percentile", "basic", "normal", "studentized", "bca"]


def percentile(replicates: np.ndarray, estimate: np.ndarray, a: float) -> np.ndarray:
    """Return limits, shape (2, s), from replicates of shape (R, s)."""
    return _quantiles(replicates, np.array([a, 1 - a]))


def basic(replicates: np.ndarray, estimate: np.ndarray, a: float) -> np.ndarray:
    """Return limits, shape (2, s): the percentile limits reflected at the estimate."""
    return 2 * estimate - _quantiles(replicates, np.array([1 - a, a]))


def normal(replicates: np.ndarray, estimate: np.ndarray, a: float) -> np.ndarray:
    """Return limits, shape (2, s), as if the estimate less its bias were normal."""
    centre = 2 * estimate - replicates.mean(axis=0)
    return centre + np.array([[-1], [1]]) * ndtri(1 - a) * replicates.std(axis=0, ddof=1)


def studentized(
    replicates: np.ndarray, replicate_se: np.ndarray, estimate: np.ndarray, se: np.ndarray, a: float
) -> np.ndarray:
    """Return limits, shape (2, s), from the distribution of (t* - t) / se*."""
    pivots = (replicates - estimate) / replicate_se
    return estimate - se * _quantiles(pivots, np.array([1 - a, a]))


def bca(replicates: np.ndarray, estimate: np.ndarray, a: float, jackknife: np.ndarray) -> np.ndarray:
    """Return bias-corrected and accelerated limits, shape (2, s); `jackknife` has shape (J, s)."""
    less = (replicates < estimate).mean(axis=0) + (replicates == estimate).mean(axis=0) / 2
    z0 = ndtri(np.clip(less, 0.5 / len(replicates), 1 - 0.5 / len(replicates)))
    away = jackknife.mean(axis=0) - jackknife
    squares = (away**2).sum(axis=0)
    acceleration = (away**3).sum(axis=0) / (6 * np.where(squares > 0, squares, 1.0) ** 1.5)
    limits = []
    for z in ndtri([a, 1 - a]):
        level = ndtr(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
        columns = zip(replicates.T, level, strict=True)
        limits.append([_quantiles(column, p)[0] for column, p in columns])
    return np.array(limits)


def _quantiles(replicates: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return quantiles of each column, the i-th of R ordered replicates being that of level i / (R + 1)."""
    return np.atleast_1d(np.quantile(replicates, levels, axis=0, method="weibull"))
