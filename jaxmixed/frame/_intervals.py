"""How far predictions may be off: limits from a normal distribution, or from a mixture of them.

For a row with prediction m and variance v sigma^2, limits of coverage 1 - alpha are m -/+ u sigma sqrt(v),
u being a quantile of the normal distribution; theta and sigma count as known. A mixture does not count
them so: each of its members has a theta and a sigma drawn from their asymptotic distribution, with m and v
worked out anew.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_choice
from ._errors import DataError
from ._estimate import as_key
from ._newdata import NewTerm
from ._predict import PredictedRows
from ._random import normal_quantile


class Scope(NamedTuple):
    """What a prediction is of.

    Attributes
    ----------
    conditional
        Whether of the rows' own levels, or of levels drawn anew.
    response
        Whether of a response, random effects and residual included, or of its mean.
    """

    conditional: bool
    response: bool


def predicted(
    rows: PredictedRows, scope: Scope, theta: np.ndarray, stats: core.SuffStats
) -> core.RowPrediction:
    """Predict rows at one theta; NaN where a covariate is missing.

    `stats` must hold every level if the scope is conditional.
    """
    there = np.flatnonzero(np.isfinite(rows.X.sum(axis=1) + rows.offset))
    X, terms = rows.X[there], [NewTerm(term.z[there], term.codes[there]) for term in rows.terms]
    mean, variance = core.row_prediction(theta, stats, X, terms if scope.conditional else ())
    mean = mean + rows.offset[there]
    if scope.response:
        variance = variance + 1 / rows.weights[there]
        for term, prior in zip(terms, core.prior_variance(theta, stats, terms), strict=True):
            variance += np.where(term.codes < 0, prior, 0.0) if scope.conditional else prior
    everywhere = np.full((2, len(rows.index)), np.nan)
    everywhere[:, there] = mean, variance
    return core.RowPrediction(*everywhere)


def normal_limits(
    rows: PredictedRows,
    scope: Scope,
    theta: np.ndarray,
    sigma: float,
    stats: core.SuffStats,
    alpha: float,
) -> pd.DataFrame:
    """Return predictions with standard errors and normal limits, theta and sigma counting as known."""
    u, found = normal_quantile(alpha), predicted(rows, scope, theta, stats)
    se = sigma * np.sqrt(found.variance)
    return _frame(rows.index, found.mean, se, found.mean - u * se, found.mean + u * se)


def mixture_limits(
    rows: PredictedRows,
    scope: Scope,
    values: np.ndarray,
    vcov: np.ndarray,
    stats: core.SuffStats,
    alpha: float,
    draws: int,
    key: Any,
) -> pd.DataFrame:
    """Return predictions with the standard deviations and quantiles of a mixture over theta and sigma.

    Parameters
    ----------
    rows, scope, stats, alpha
        As for `normal_limits`.
    values
        (theta, sigma), shape (k + 1,).
    vcov
        Their asymptotic covariance, shape (k + 1, k + 1); NaN or zero in the rows of parameters that are held
        at their values.
    draws
        Number of members of the mixture. Draw i depends on the key and on i alone.
    key
        A seed, or a JAX random key.
    """
    normal_quantile(alpha)
    values, noise = np.asarray(values), _noise(key, draws, len(values) + len(rows.index))
    samples = np.empty((draws, len(rows.index)))
    for sample, parameters, z in zip(
        samples, draw_parameters(values, vcov, noise[:, : len(values)]), noise[:, len(values) :], strict=True
    ):
        member = predicted(rows, scope, parameters[:-1], stats)
        sample[:] = member.mean + parameters[-1] * np.sqrt(member.variance) * z
    centre = predicted(rows, scope, values[:-1], stats).mean
    low, high = np.quantile(samples, [alpha / 2, 1 - alpha / 2], axis=0)
    return _frame(rows.index, centre, samples.std(axis=0, ddof=1), low, high)


def draw_parameters(values: np.ndarray, vcov: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return draws of (theta, sigma), normal in (theta, log sigma), given standard normal numbers."""
    free = np.isfinite(np.diagonal(vcov)) & (np.diagonal(vcov) > 0)
    by_log = np.where(np.arange(len(values)) == len(values) - 1, 1 / values[-1], 1.0)
    covariance = (vcov * np.outer(by_log, by_log))[np.ix_(free, free)]
    scale = np.sqrt(np.diagonal(covariance))
    roots, axes = np.linalg.eigh(covariance / np.outer(scale, scale))
    moved = noise[:, free] @ (scale[:, None] * axes * np.sqrt(np.maximum(roots, 0))).T
    drawn = np.tile(values, (len(noise), 1))
    drawn[:, free] += moved
    if free[-1]:
        drawn[:, -1] = values[-1] * np.exp(moved[:, -1])
    return drawn


def check_options(re: Any, new_levels: Any, interval: Any, draws: Any, key: Any) -> None:
    """Check what was asked of a prediction."""
    check_choice("re", re, ("conditional", "marginal"))
    check_choice("new_levels", new_levels, ("error", "population", "missing"))
    if interval is not None:
        check_choice("interval", interval, ("confidence", "prediction"))
    if draws is None:
        return
    if interval is None:
        raise DataError("draws was given without interval; expected interval='confidence' or 'prediction'.")
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 2:
        raise DataError(f"draws is {draws!r}; expected the number of draws, 2 or more, such as 1000.")
    if key is None:
        raise DataError("draws was given without key; expected a seed as key, such as key=1.")


def _noise(key: Any, draws: int, size: int) -> np.ndarray:
    """Return standard normal numbers, shape (draws, size)."""

    def draw(key, index):
        return jax.random.normal(jax.random.fold_in(key, index), (size,))

    with jax.enable_x64(True):
        return np.asarray(jax.vmap(draw, in_axes=(None, 0))(as_key(key), jnp.arange(draws)))


def _frame(index: pd.Index, mean, se, low, high) -> pd.DataFrame:
    return pd.DataFrame({"predicted": mean, "se": se, "conf_low": low, "conf_high": high}, index=index)
