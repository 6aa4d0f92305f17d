"""The random part of a fit as tidy frames: variance components, effects by level, coefficients by level."""

from statistics import NormalDist

import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_alpha
from ._groups import GroupLabels


def normal_quantile(alpha: float) -> float:
    """Return how many standard errors limits of coverage 1 - alpha lie from the estimate."""
    check_alpha(alpha)
    return NormalDist().inv_cdf(1 - alpha / 2)


def varcorr_frame(groups: tuple[GroupLabels, ...], factors: list[np.ndarray], sigma: float) -> pd.DataFrame:
    """Return variances, standard deviations, correlations and shares of the summed variances.

    Parameters
    ----------
    groups
        Names of groups and terms.
    factors
        Relative covariance factor of each group, shape (q, q).
    sigma
        Residual standard deviation.
    """
    rows = []
    for labels, factor in zip(groups, factors, strict=True):
        covariance = sigma**2 * factor @ factor.T
        sd = np.sqrt(np.diagonal(covariance))
        first = 0
        for term in labels.terms:
            inside = range(first, first + len(term))
            rows += [(labels.name, term[i - first], None, covariance[i, i], sd[i], np.nan) for i in inside]
            for i in inside:
                for j in range(i + 1, first + len(term)):
                    scale = sd[i] * sd[j]
                    corr = covariance[i, j] / scale if scale > 0 else np.nan
                    names = term[i - first], term[j - first]
                    rows.append((labels.name, *names, covariance[i, j], np.nan, corr))
            first += len(term)
    rows.append(("Residual", None, None, sigma**2, sigma, np.nan))
    table = pd.DataFrame(rows, columns=["group", "term", "term2", "variance", "sd", "corr"])
    single = table["term2"].isna()
    table["var_prop"] = table["variance"].where(single) / table.loc[single, "variance"].sum()
    return table


def effects_frame(
    groups: tuple[GroupLabels, ...], effects: tuple[core.RandomEffects, ...], quantile: float
) -> pd.DataFrame:
    """Return every random effect with its conditional standard error and limits."""
    frames = []
    for labels, effect in zip(groups, effects, strict=True):
        se = np.sqrt(np.diagonal(effect.covariances, axis1=1, axis2=2))
        frames.append(_long(labels, effect.modes, se, quantile))
    return pd.concat(frames, ignore_index=True)


def coefficients_frame(
    groups: tuple[GroupLabels, ...],
    effects: tuple[core.RandomEffects, ...],
    fixed: pd.Series,
    fixed_se: pd.Series,
    quantile: float,
) -> pd.DataFrame:
    """Return fixed plus random effect for every level, the variances of the two added."""
    frames = []
    for labels, effect in zip(groups, effects, strict=True):
        names = list(labels.columns)
        centre = fixed.reindex(names, fill_value=0.0).to_numpy()
        variance = np.diagonal(effect.covariances, axis1=1, axis2=2)
        se = np.sqrt(variance + fixed_se.reindex(names, fill_value=0.0).to_numpy() ** 2)
        frames.append(_long(labels, centre + effect.modes, se, quantile))
    return pd.concat(frames, ignore_index=True)


def _long(labels: GroupLabels, value: np.ndarray, se: np.ndarray, quantile: float) -> pd.DataFrame:
    levels, columns = value.shape
    return pd.DataFrame(
        {
            "group_var": np.repeat([labels.name], levels * columns),
            "effect": np.repeat(np.array(labels.columns, dtype=object), levels),
            "group": np.tile(np.asarray(labels.levels), columns),
            "value": value.T.reshape(-1),
            "se": se.T.reshape(-1),
            "lower": (value - quantile * se).T.reshape(-1),
            "upper": (value + quantile * se).T.reshape(-1),
        }
    )


def degenerate_terms(
    groups: tuple[GroupLabels, ...], conditioned: list[np.ndarray], tolerance: float
) -> list[str]:
    """Say in words which variance components or covariance matrices lie on the boundary.

    A component counts as degenerate when its diagonal element of the conditioned relative factor, which
    does not depend on the scale of the covariates, is below `tolerance`.
    """
    found = []
    for labels, scaled in zip(groups, conditioned, strict=True):
        first = 0
        for term in labels.terms:
            last = first + len(term)
            block = scaled[first:last, first:last]
            zero = np.abs(block).max(axis=1) < tolerance
            found += [
                f"the variance of {name} by {labels.name} is zero"
                for name, vanished in zip(term, zero, strict=True)
                if vanished
            ]
            if ((np.abs(np.diagonal(block)) < tolerance) & ~zero).any():
                names = ", ".join(term)
                relation = "perfectly correlated" if len(term) == 2 else "linearly dependent"
                found.append(f"the random effects {names} by {labels.name} are {relation}")
            first = last
    return found
