"""Fits of many statistics and their t tests, all that a table of results needs, in one compiled program.

statistics of B fits -> core.fit_made -> theta, estimates, tests, variance components, what is in doubt
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxmixed import core

from ._batches import axes_of
from ._references import by_method
from ._statistics import DEGENERATE, FLAT, SINGULAR


class Lanes(NamedTuple):
    """What is known of B fits.

    Attributes
    ----------
    theta
        Shape (B, k).
    sdcor
        Standard deviations and correlations in theta's order, and sigma, shape (B, k + 1).
    criterion
        -2 log likelihood, REML or ML, shape (B,).
    estimate, std_error, df, statistic, p_value
        t tests of the fixed effects, shape (B, p).
    singular
        Whether a variance is zero or a correlation perfect, shape (B,).
    status
        How each fit ended, in words: "converged", or why its numbers are in doubt, shape (B,).
    """

    theta: np.ndarray
    sdcor: np.ndarray
    criterion: np.ndarray
    estimate: np.ndarray
    std_error: np.ndarray
    df: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    singular: np.ndarray
    status: np.ndarray


class _Reading(NamedTuple):
    """What is read of one fit; extremes are of the conditioned relative factors."""

    sdcor: Any
    criterion: Any
    estimate: Any
    std_error: Any
    df: Any
    statistic: Any
    smallest: Any
    largest: Any


def fit_lanes(
    stats: core.SuffStats,
    names: tuple[str, ...] | None,
    reml: bool,
    ddf: str,
    mesh: Mesh | None = None,
) -> Lanes:
    """Fit every one of many NumPy statistics, and test each fixed effect.

    Parameters
    ----------
    stats
        Of the leaves called `names`, or of all leaves if that is `None`, each has a leading axis.
    names
        Names of leaves.
    reml, ddf
        Likelihood, and method of the tests.
    mesh
        Devices that share the fits, of this process or of several; by default all of this process.
    """
    with jax.enable_x64(True):
        own, recipe = core.given(stats, 0 if names is None else axes_of(stats, names))
        found, read = core.fit_made(recipe, own, _reader(reml, ddf), (), reml, mesh=mesh)
    return Lanes(
        found.theta,
        read.sdcor,
        read.criterion,
        read.estimate,
        read.std_error,
        read.df,
        read.statistic,
        core.t_pvalue(read.statistic, read.df),
        read.smallest < SINGULAR,
        _in_words(found, read),
    )


def _in_words(found: core.Fit, read: _Reading) -> np.ndarray:
    flat = np.abs(found.hessian).max((1, 2), initial=0.0) < FLAT
    ended = np.array(core.RESULTS, dtype=object)[found.result]
    ended = np.where(flat & (found.result == 0), "the variances cannot be estimated", ended)
    return np.where(read.largest > DEGENERATE, "the residual variance is all but zero", ended)


@functools.cache
def _reader(reml: bool, ddf: str) -> Callable[..., _Reading]:
    """Return the reading of one fit; p values are left to SciPy, which is faster."""

    def read(theta, stats):
        tests = by_method(ddf, theta, stats, reml).t_test(jnp.eye(stats.p, dtype=theta.dtype))
        found = core.estimates(theta, stats, reml)
        factors = core.conditioned_factors(theta, stats)
        return _Reading(
            core.standard_deviations(theta, found.sigma, stats.blocks),
            found.criterion,
            *(tests.estimate, tests.std_error, tests.df, tests.statistic),
            jnp.abs(jnp.concatenate([jnp.diagonal(factor) for factor in factors])).min(),
            jnp.stack([jnp.abs(factor).max() for factor in factors]).max(),
        )

    return read
