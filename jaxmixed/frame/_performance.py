"""Measures of performance over n simulated data sets, each with its Monte Carlo standard error.

With estimates t_i of theta, their mean m, standard errors s_i, and D = 1/(n - 1) sum (t_i - m)^2:

    bias         m - theta                                sqrt(D / n)
    emp_se       sqrt(D)                                  emp_se / sqrt(2 (n - 1))
    mse          mean of (t_i - theta)^2                  sd of (t_i - theta)^2 / sqrt(n)
    model_se     root mean square of s_i                  sd of s_i^2 / (2 sqrt(n) model_se)
    se_error     100 (model_se / emp_se - 1)              100 (model_se / emp_se) sqrt(sd^2 of s_i^2 /
                                                              (4 n model_se^4) + 1 / (2 (n - 1)))
    a rate r     coverage, rejection, convergence         sqrt(r (1 - r) / n)

(Morris, White & Crowther 2019, doi:10.1002/sim.8086, table 6.)
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

CONFIDENCE = 0.95  # of the exact interval of a rate


class Measure(NamedTuple):
    """A measure and its Monte Carlo standard error."""

    value: float
    mcse: float


def estimation(estimates: np.ndarray, truth: float) -> dict[str, Measure]:
    """Return bias, empirical standard error and mean squared error of estimates, shape (n,)."""
    n = len(estimates)
    if n < 2:
        return dict.fromkeys(("bias", "emp_se", "mse"), Measure(np.nan, np.nan))
    emp_se, squares = estimates.std(ddof=1), (estimates - truth) ** 2
    return {
        "bias": Measure(estimates.mean() - truth, emp_se / np.sqrt(n)),
        "emp_se": Measure(emp_se, emp_se / np.sqrt(2 * (n - 1))),
        "mse": Measure(squares.mean(), squares.std(ddof=1) / np.sqrt(n)),
    }


def precision(estimates: np.ndarray, se: np.ndarray) -> dict[str, Measure]:
    """Return the standard error that models state, and by how many percent it is off."""
    n = len(estimates)
    if n < 2:
        return dict.fromkeys(("model_se", "se_error"), Measure(np.nan, np.nan))
    emp_se, model_se, spread = estimates.std(ddof=1), np.sqrt((se**2).mean()), (se**2).var(ddof=1)
    ratio = model_se / emp_se
    relative = np.sqrt(spread / (4 * n * model_se**4) + 1 / (2 * (n - 1)))
    return {
        "model_se": Measure(model_se, np.sqrt(spread / n) / (2 * model_se)),
        "se_error": Measure(100 * (ratio - 1), 100 * ratio * relative),
    }


def rate(hits: np.ndarray) -> Measure:
    """Return a share of n yes and no, shape (n,)."""
    if len(hits) == 0:
        return Measure(np.nan, np.nan)
    r = float(np.mean(hits))
    return Measure(r, float(np.sqrt(r * (1 - r) / len(hits))))


def exact_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the interval of Clopper & Pearson (1934, doi:10.1093/biomet/26.4.404) for hits out of n."""
    if n == 0:
        return np.nan, np.nan
    tail = (1 - CONFIDENCE) / 2
    low = betaincinv(hits, n - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return float(low), float(high)
