"""Akaike's criterion for predictions of the same groups: the conditional AIC.

    cAIC = -2 log f(y | beta-hat, b-hat, sigma-hat) + 2 (rho + 1)

f is the density of independent residuals about the fitted values, and rho = sum_i d fitted_i / d y_i counts
what the fitted values take from the data, the choice of theta included (Greven & Kneib 2010,
doi:10.1093/biomet/asq042). The AIC of `aic` is for data of new groups.
"""

import numpy as np

from jaxmixed import core


def conditional_llf(resid: np.ndarray, weights: np.ndarray | None, sigma: float) -> float:
    """Return the log likelihood of the response given the random effects.

    Parameters
    ----------
    resid
        Response less fitted values, shape (n,).
    weights
        Prior weights, shape (n,), or `None` for ones.
    sigma
        Residual standard deviation of a row of weight one, in units of y.
    """
    weights = np.ones(len(resid)) if weights is None else weights
    variance = sigma**2 / weights
    return float(-(np.log(2 * np.pi * variance) + resid**2 / variance).sum() / 2)


def conditional_aic(llf: float, df: core.EffectiveDf) -> float:
    """Return the criterion, sigma counting as one parameter more."""
    return float(-2 * llf + 2 * (df.total + 1))
