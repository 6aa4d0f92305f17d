"""Fits of many statistics and their t tests, all that a table of results needs, in one compiled program.

statistics of B fits -> core.fit_batch -> theta -> estimates, tests, variance components, what is in doubt
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmixed import core

from ._batches import axes_of, options
from ._references import by_method
from ._statistics import DEGENERATE, FLAT, SINGULAR

# Lanes are read so many at a time, whatever their number: one program for each shape.
AT_MOST, NUMBERS = 1024, 2**20


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
    """What the compiled program returns of one fit; extremes are of the conditioned relative factors."""

    sdcor: Any
    criterion: Any
    estimate: Any
    std_error: Any
    df: Any
    statistic: Any
    smallest: Any
    largest: Any


def fit_lanes(stats: core.SuffStats, names: tuple[str, ...] | None, reml: bool, ddf: str) -> Lanes:
    """Fit every one of many NumPy statistics, and test each fixed effect.

    Parameters
    ----------
    stats
        Of the leaves called `names`, or of all leaves if that is `None`, each has a leading axis.
    names
        Names of leaves.
    reml, ddf
        Likelihood, and method of the tests.
    """
    with jax.enable_x64(True):
        found = core.fit_batch(stats, _axes(stats, names), reml)
        read = _read(found.theta, stats, names, reml, ddf)
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


def _axes(stats: core.SuffStats, names: tuple[str, ...] | None) -> Any:
    return 0 if names is None else axes_of(stats, names)


def _read(theta: np.ndarray, stats: core.SuffStats, names, reml: bool, ddf: str) -> _Reading:
    """Call the program on as many lanes at a time as it is made for, the last call's filled up."""
    axes = jax.tree.broadcast(_axes(stats, names), stats, is_leaf=lambda axis: axis is None)
    size, batched = len(theta), [axis is not None for axis in jax.tree.leaves(axes, is_leaf=_is_none)]
    leaves, tree = jax.tree.flatten(stats)
    numbers = sum(np.size(leaf[0] if own else leaf) for leaf, own in zip(leaves, batched, strict=True))
    width = 1 << int(np.clip(NUMBERS // numbers, 8, AT_MOST)).bit_length() - 1
    program, pieces = _program(names, reml, ddf), []
    for first in range(0, size, width):
        lanes = np.minimum(np.arange(first, first + width), size - 1)
        some = [leaf[lanes] if own else leaf for leaf, own in zip(leaves, batched, strict=True)]
        read = program(theta[lanes], jax.tree.unflatten(tree, some))
        pieces.append([np.asarray(part)[: size - first] for part in read])
    return _Reading(*map(np.concatenate, zip(*pieces, strict=True)))


def _is_none(axis: Any) -> bool:
    return axis is None


@functools.cache
def _program(names: tuple[str, ...] | None, reml: bool, ddf: str) -> Callable[..., _Reading]:
    """Compile the reading of many fits; p values are left to SciPy, which is faster."""

    def one(theta, stats):
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

    def many(theta, stats):
        return jax.vmap(one, in_axes=(0, _axes(stats, names)))(theta, stats)

    return jax.jit(many, compiler_options=options())
