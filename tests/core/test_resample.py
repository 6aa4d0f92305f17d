"""Residual, wild and case bootstrap, one replicate at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_design, random_theta

from jaxmixed import core
from jaxmixed.core._resample import reflate, resample, turn_over
from jaxmixed.core._reweight import clusters, draw_weights


def reflated(structure, theta=None, **options):
    design = random_design(structure, 3, **options)
    theta = random_theta(design, 3) if theta is None else theta
    stats = core.suffstats(design)
    found = core.estimates(theta, stats)
    modes = core.ranef_modes(theta, stats)
    return design, theta, found, reflate(design, theta, found.beta, found.sigma, modes)


@pytest.mark.parametrize("structure", ["three_by_three", "nested_two_slope", "crossed_slopes"])
def test_reflated_effects_have_the_estimated_covariance(structure):
    design, theta, found, drawn = reflated(structure, weights=True)
    factors = core.relative_factors(theta, tuple(term.blocks for term in design.terms))
    for effects, L in zip(drawn.effects, factors, strict=True):
        np.testing.assert_allclose(effects.mean(0), 0, atol=1e-10)
        if len(effects) > len(L):
            np.testing.assert_allclose(
                effects.T @ effects / len(effects), found.sigma**2 * L @ L.T, rtol=1e-8
            )
    np.testing.assert_allclose(
        [drawn.errors.mean(), (drawn.errors**2).mean()], [0, found.sigma**2], atol=1e-10
    )


def test_a_variance_of_zero_stays_zero():
    *_, drawn = reflated("blocks_two_one", np.array([0.7, 0.3, 0.0, 0.0]))
    np.testing.assert_allclose(drawn.effects[0][:, 2], 0, atol=1e-10)


def test_resampled_responses_are_made_of_the_reflated_pieces(x64):
    """Mean and variance over many replicates are those of the model."""
    design, theta, found, drawn = reflated("distinct_patterns", weights=True, offset=True)
    keys = jax.random.split(jax.random.key(1), 20_000)
    y = np.asarray(jax.jit(jax.vmap(lambda key: resample(key, drawn, design)))(keys))
    mean = design.X @ found.beta + design.offset
    term, L = design.terms[0], core.relative_factors(theta, ((2,),))[0]
    variance = found.sigma**2 * (((term.z @ L) ** 2).sum(1) + 1 / design.weights)
    np.testing.assert_allclose(y.mean(0), mean, atol=5 * np.sqrt(variance.max() / len(y)))
    np.testing.assert_allclose(y.var(0), variance, rtol=0.1)


def test_turned_over_clusters_keep_their_residuals(x64):
    design = random_design("intercept", 3, offset=True)
    beta, codes = np.array([0.5, -1.0, 2.0]), design.terms[0].codes
    fixed = design.X @ beta + design.offset
    y = np.asarray(turn_over(jax.random.key(2), design, beta, codes, 8))
    signs = (y - fixed) / (design.y - fixed)
    np.testing.assert_allclose(np.abs(signs), 1)
    assert {len(np.unique(signs[codes == j].round(6))) for j in range(8)} == {1}
    assert len(np.unique(signs.round(6))) == 2


@pytest.mark.parametrize("structure", ["few_patterns", "distinct_patterns", "nested_two", "nested_two_slope"])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_on_clusters_are_copies_of_them(structure, weighted):
    """Statistics with weights give the criterion and estimates of rows put together by hand."""
    design = random_design(structure, 4, weights=weighted)
    prepared = core.condition(design)
    apart = clusters(prepared, core.plan(prepared), design.y)
    outermost = min(design.terms, key=lambda term: term.n_levels)
    m = np.asarray(
        np.random.default_rng(1).multinomial(
            outermost.n_levels, np.full(outermost.n_levels, 1 / outermost.n_levels)
        ),
        float,
    )
    rows, copy = [], []
    for j in range(outermost.n_levels):
        for k in range(int(m[j])):
            inside = np.flatnonzero(outermost.codes == j)
            rows.append(inside)
            copy.append(np.full(len(inside), k * 1000))
    rows, copy = np.concatenate(rows), np.concatenate(copy)
    terms = []
    for term in design.terms:
        codes = np.unique(term.codes[rows] + copy * 1000, return_inverse=True)[1]
        terms.append(core.RandomTerm(term.z[rows], codes, int(codes.max()) + 1, term.blocks))
    w = None if design.weights is None else design.weights[rows]
    together = core.suffstats(core.Design(design.y[rows], design.X[rows], tuple(terms), w))
    theta = random_theta(design, 5)
    for reml in (True, False):
        ours, truth = core.estimates(theta, apart.weighted(m), reml), core.estimates(theta, together, reml)
        for a, b in zip(ours, truth, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_every_cluster_once_is_the_data(x64):
    design = random_design("few_patterns", 4)
    prepared = core.condition(design)
    apart = clusters(prepared, core.plan(prepared), design.y)
    J, theta = design.terms[0].n_levels, random_theta(design, 5)
    once = jax.jit(lambda m: core.criterion(jnp.asarray(theta), apart.weighted(m)))(jnp.ones(J))
    np.testing.assert_allclose(once, core.criterion(theta, core.suffstats(design)), rtol=1e-10)
    drawn = draw_weights(jax.random.key(0), J, jnp.float64)
    assert drawn.sum() == J and (drawn >= 0).all()


def test_crossed_factors_have_no_clusters():
    prepared = core.condition(design := random_design("crossed_two", 4))
    with pytest.raises(ValueError, match="crossed"):
        clusters(prepared, core.plan(prepared), design.y)
