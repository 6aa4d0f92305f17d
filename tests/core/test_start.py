"""Where the search begins: near the minimum wherever the analysis of variance is near it."""

import jax
import numpy as np
import pytest

from jaxmixed import core
from jaxmixed.core._start import default_start
from jaxmixed.core._suffstats import unconditioned
from jaxmixed.frame._estimate import estimate


def drawn(terms, theta, n, seed=0):
    """Return statistics of a response with a mean of 5 and residuals of variance one."""
    blank = core.Design(np.zeros(n), np.ones((n, 1)), terms)
    with jax.enable_x64(True):
        y = core.simulate(jax.random.key(seed), blank, np.array(theta), np.array([5.0]), 1.0)
    return core.compress(core.Design(np.asarray(y), blank.X, terms))


def intercepts(codes):
    return core.RandomTerm(np.ones((len(codes), 1)), codes, codes.max() + 1, (1,))


def started(stats):
    return np.abs(unconditioned(default_start(stats), stats))


@pytest.mark.parametrize("correlation", [0.7, 0.0, -0.7])
def test_correlated_slopes(correlation):
    """2,000 groups that look at the same times: the moments are all there is to know."""
    group, time = np.repeat(np.arange(2000), 6), np.tile(np.arange(6.0), 2000)
    slopes = core.RandomTerm(np.stack([np.ones(12000), time], 1), group, 2000, (2,))
    stats = drawn((slopes,), [1.0, 0.5 * correlation, 0.5 * np.sqrt(1 - correlation**2)], 12000)
    start = unconditioned(default_start(stats), stats)
    found = estimate(stats, True)
    np.testing.assert_allclose(start, found.theta, atol=0.03)
    assert found.steps <= 4


def test_nested_factors():
    """Schools of four classes of five: what schools explain is not counted among classes again."""
    classes = np.repeat(np.arange(2000), 5)
    stats = drawn((intercepts(classes), intercepts(classes // 4)), [1.0, 2.0], 10000)
    found = estimate(stats, True)
    np.testing.assert_allclose(started(stats), found.theta, rtol=0.25)
    assert found.steps <= 5


def test_a_factor_within_one_of_two_that_cross():
    """Classes in schools, graders across them: added up, the three explain more than there is."""
    classes, grader = np.repeat(np.arange(200), 5), np.tile(np.arange(25), 40)
    terms = tuple(map(intercepts, (classes, classes // 4, grader)))
    stats = drawn(terms, [1.0, 2.0, 1.0], 1000)
    found = estimate(stats, True)
    # Schools are taken for part of the classes.
    assert (started(stats) < 5 * found.theta).all()
    assert found.steps <= 8


@pytest.mark.parametrize("blocks", [(3,), (2, 1), (5,)])
def test_blocks(blocks):
    """Correlations are within blocks, and only of blocks that are written out."""
    q = sum(blocks)
    group = np.repeat(np.arange(300), 8)
    z = np.tile(np.random.default_rng(0).normal(size=(8, q)), (300, 1))
    root = np.tril(np.full((q, q), 0.5)) + np.eye(q)
    theta = np.array([root[i, j] for i, j in zip(*positions(blocks), strict=True)])
    start = default_start(drawn((core.RandomTerm(z, group, 300, blocks),), theta, 2400))
    row, column = positions(blocks)
    assert np.isfinite(start).all() and (start[row == column] > 0).all()
    assert (start[row != column] != 0).all() == (max(blocks) <= 4)


def positions(blocks):
    first = np.cumsum([0, *blocks])
    pairs = [
        (f + i, f + j) for f, b in zip(first, blocks, strict=False) for j in range(b) for i in range(j, b)
    ]
    return np.array(pairs).T
