"""Infinitesimal influence, against refits to data that are weighted a little, and to data left out."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalog import case
from helpers import random_design

from jaxmixed import core

STEP = 1e-4


@functools.cache
def sleepstudy() -> core.Design:
    data = case("sleep_slope").data()
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    codes = data["Subject"].cat.codes.to_numpy().astype(np.int32)
    return core.Design(data["Reaction"].to_numpy(float), X, (core.RandomTerm(X, codes, 18, (2,)),))


def slope(theta, stats):
    return core.estimates(theta, stats).beta[1]


def p_value(theta, stats):
    return core.satterthwaite(theta, stats).t_test(np.eye(2)[1:]).p_value[0]


def by_weights(design, by):
    """Return the statistics as a function of the weights of rows or groups, and how many there are."""
    prepared = core.condition(design)
    if by == "groups":
        parts = core.clusters(prepared, core.plan(prepared), design.y)
        return parts.weighted, len(parts.n)
    whole = core.suffstats(design)
    return lambda m: core.row_weighted(prepared, design.y, whole, m), len(design.y)


@pytest.mark.parametrize("by", ["rows", "groups"])
def test_sleepstudy(by, x64):
    """All 180 rows and 18 subjects: slopes are derivatives of refits, and deletions follow to first order."""
    design = sleepstudy()
    weighted, size = by_weights(design, by)
    influence = {"rows": core.row_influence, "groups": core.group_influence}[by]
    fit = jax.jit(lambda m: core.fit(weighted(m)).theta)
    theta = fit(jnp.ones(size))
    found = jax.jit(lambda theta: influence(slope, design, theta))(theta)

    def refit(m):
        stats = weighted(m)
        theta_m = core.fit(stats, theta=core.fit(stats, theta=theta).theta).theta
        return slope(theta_m, stats)

    refits = jax.jit(lambda m: jax.lax.map(refit, m, batch_size=18))
    moved = [refits(jnp.ones((size, size)) + k * STEP * jnp.eye(size)) for k in (1, -1)]
    truth = (moved[0] - moved[1]) / (2 * STEP)
    np.testing.assert_allclose(found.slopes, truth, atol=1e-6 * np.abs(truth).max())

    left_out = refits(jnp.ones((size, size)) - jnp.eye(size)) - found.value
    assert np.corrcoef(left_out, -found.slopes)[0, 1] > 0.99
    np.testing.assert_allclose(-found.slopes, left_out, atol=np.abs(left_out).max() / 3)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["rows", "groups"])
def test_it_costs_less_than_twenty_fits(by, x64):
    """Influence on a p value, against the optimiser alone, both compiled."""
    design = sleepstudy()
    stats = jax.tree.map(jnp.asarray, core.compress(design))
    fit = jax.jit(core.fit)
    theta = fit(stats).theta
    influence = {"rows": core.row_influence, "groups": core.group_influence}[by]
    compiled = jax.jit(lambda theta: influence(p_value, design, theta))

    def shortest(function, *args):
        times = []
        for _ in range(50):
            start = time.perf_counter()
            jax.block_until_ready(function(*args))
            times.append(time.perf_counter() - start)
        return min(times[1:])

    assert shortest(compiled, theta) < 20 * shortest(fit, stats)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("structure", "seed", "by"),
    [("nested_two", 1, "groups"), ("nested_two", 2, "rows"), ("crossed_two", 0, "rows")],
)
def test_nested_and_crossed(structure, seed, by, x64):
    """Variances of zero among them; prior weights and an offset too."""
    design = random_design(structure, seed, weights=True, offset=True)
    weighted, size = by_weights(design, by)
    influence = {"rows": core.row_influence, "groups": core.group_influence}[by]
    fit = jax.jit(lambda m, theta: core.fit(weighted(m), theta=theta).theta)
    theta = fit(jnp.ones(size), core.fit(weighted(jnp.ones(size))).theta)
    found = jax.jit(lambda theta: influence(slope, design, theta))(theta)
    value = jax.jit(lambda theta, m: slope(theta, weighted(m)))
    for i in range(0, size, 3):
        ends = []
        for k in (1, -1):
            m = jnp.ones(size).at[i].add(k * STEP)
            ends.append(value(fit(m, fit(m, theta)), m))
        scale = 1e-6 * np.abs(found.slopes).max()
        np.testing.assert_allclose(found.slopes[i], (ends[0] - ends[1]) / (2 * STEP), atol=scale)


def test_crossed_factors_have_no_groups():
    design = random_design("crossed_two", 0)
    with pytest.raises(ValueError, match="crossed"):
        core.group_influence(slope, design, np.ones(2))
