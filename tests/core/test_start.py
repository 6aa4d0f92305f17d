"""Where the search begins: near the minimum wherever the analysis of variance is near it."""

import jax
import numpy as np
import pytest
from catalog import case

import jaxmixed as jm
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


def started(stats, reml=True):
    return np.abs(unconditioned(default_start(stats, reml), stats))


BALANCED = (
    ("dyestuff", True),
    ("sleep_intercept", True),
    ("sleep_slope", True),
    ("orthodont", True),  # sexes differ in number
    ("oats_factorial", True),
    ("cake_split_plot", True),  # recipes are compared between parts of a replicate
    ("pastes", True),
    ("penicillin", False),  # by maximum likelihood crossed factors have no closed form
)


@pytest.mark.parametrize(
    ("name", "reml"), [(name, reml) for name, both in BALANCED for reml in (True, False)[: 1 + both]]
)
def test_where_the_design_is_balanced_the_start_is_the_minimum(name, reml):
    known = case(name)
    fit = jm.lmer(known.formula, known.data(), reml=reml)
    np.testing.assert_allclose(started(fit.stats, reml), np.abs(fit.theta), rtol=1e-9)
    assert fit.optimum.steps == 1


def test_levels_that_the_fixed_effects_explain():
    """Three treatments of ten groups each and a covariate that varies within: unbiased mean squares."""
    group, x = np.repeat(np.arange(30), 4), np.tile(np.arange(4.0), 30)
    arm = group // 10
    rng = np.random.default_rng(0)
    X = np.column_stack([arm == 0, arm == 1, arm == 2, x]).astype(float)
    y = rng.normal(size=30)[group] + rng.normal(size=120)
    stats = core.compress(core.Design(y, X, (intercepts(group),)))
    within = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    means = np.bincount(group, within) / 4
    residual = ((within - means[group]) ** 2).sum() / (120 - 30 - 1)
    between = (4 * means**2).sum() / (30 - 3)
    np.testing.assert_allclose(started(stats), np.sqrt((between - residual) / 4 / residual))


def test_unequal_groups():
    """E sum_j b_j^2 / n_j = (J - 1) sigma^2 + (n - sum_j n_j^2 / n) sigma_z^2 for the mean of all."""
    group = np.repeat(np.arange(4), [2, 3, 5, 10])
    y = np.random.default_rng(1).normal(size=20) + np.array([0.0, 2, 4, 1])[group]
    n = np.bincount(group)
    centred = y - y.mean()
    squares = (np.bincount(group, centred) ** 2 / n).sum()
    residual = (centred @ centred - squares) / (20 - 4)
    variance = (squares - 3 * residual) / (20 - (n**2).sum() / 20)
    stats = core.compress(core.Design(y, np.ones((20, 1)), (intercepts(group),)))
    np.testing.assert_allclose(started(stats), np.sqrt(variance / residual))


@pytest.mark.parametrize("correlation", [0.7, 0.0, -0.7])
def test_correlated_slopes(correlation):
    """2,000 groups that look at the same times: the moments are all there is to know."""
    group, time = np.repeat(np.arange(2000), 6), np.tile(np.arange(6.0), 2000)
    slopes = core.RandomTerm(np.stack([np.ones(12000), time], 1), group, 2000, (2,))
    stats = drawn((slopes,), [1.0, 0.5 * correlation, 0.5 * np.sqrt(1 - correlation**2)], 12000)
    start = unconditioned(default_start(stats, True), stats)
    found = estimate(stats, True)
    np.testing.assert_allclose(start, found.theta, atol=0.03)
    assert found.steps <= 4


@pytest.mark.parametrize("blocks", [(2,), (1, 1)])
def test_slopes_where_no_two_groups_are_alike(blocks):
    """Groups of 3 to 12 rows that begin at zero: intercepts and slopes explain much of the same."""
    sizes = np.random.default_rng(0).integers(3, 13, 2000)
    group = np.repeat(np.arange(2000), sizes)
    time = np.concatenate([np.arange(size, dtype=float) for size in sizes])
    slopes = core.RandomTerm(np.stack([np.ones(len(time)), time], 1), group, 2000, blocks)
    stats = drawn((slopes,), [1.0, 0.2, 0.4] if len(blocks) == 1 else [1.0, 0.4], len(time))
    found = estimate(stats, True)
    np.testing.assert_allclose(started(stats), np.abs(found.theta), rtol=0.15)
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
    start = default_start(drawn((core.RandomTerm(z, group, 300, blocks),), theta, 2400), True)
    row, column = positions(blocks)
    assert np.isfinite(start).all() and (start[row == column] > 0).all()
    assert (start[row != column] != 0).all() == (max(blocks) <= 4)


def positions(blocks):
    first = np.cumsum([0, *blocks])
    pairs = [
        (f + i, f + j) for f, b in zip(first, blocks, strict=False) for j in range(b) for i in range(j, b)
    ]
    return np.array(pairs).T
