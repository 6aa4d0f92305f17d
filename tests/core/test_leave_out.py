"""Statistics without one level: what is left, against dense algebra on the rows that are left."""

import jax
import numpy as np
import pytest
from helpers import CROSSED, NESTED, ONE_FACTOR, dense_oracle, random_design, random_theta

from jaxmixed import core


def rows_left(design, kept):
    """Return the design of some rows, levels that are gone left out."""
    terms = []
    for term in design.terms:
        levels, codes = np.unique(term.codes[kept], return_inverse=True)
        terms.append(core.RandomTerm(term.z[kept], codes, len(levels), term.blocks))
    weights = None if design.weights is None else design.weights[kept]
    offset = None if design.offset is None else design.offset[kept]
    return core.Design(design.y[kept], design.X[kept], tuple(terms), weights, offset)


def assert_is(found: core.Estimates, truth) -> None:
    np.testing.assert_allclose(found.criterion, truth.criterion, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(found.beta, truth.beta, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.sigma, truth.sigma, rtol=1e-8)
    np.testing.assert_allclose(found.vcov, truth.vcov_beta, rtol=1e-7, atol=1e-10)


@jax.jit
def each_left_out(deletions, stats):
    return jax.vmap(core.without, in_axes=(0, None))(deletions, stats)


def assert_each_level_is_left_out(design, factor, seed, reml=True):
    prepared = core.condition(design)
    arranged = core.plan(prepared)
    deletions = core.deletions(prepared, arranged, design.y, factor)
    stats = core.assemble(prepared, arranged, design.y, compress=len(design.terms) == 1)
    every = jax.tree.map(np.asarray, each_left_out(deletions, stats))
    term, theta = design.terms[factor], random_theta(design, seed)
    lost = core.rank_deficient(stats.C - deletions.C, stats.n - deletions.n)
    for level in range(term.n_levels):
        kept = term.codes != level
        assert lost[level] == (np.linalg.matrix_rank(design.X[kept]) < 3 or kept.sum() <= 3)
        if not lost[level]:
            truth = dense_oracle(rows_left(design, kept), theta, reml=reml)
            assert_is(
                core.estimates(theta, jax.tree.map(lambda a, level=level: a[level], every), reml), truth
            )


@pytest.mark.parametrize("structure", ONE_FACTOR)
def test_one_factor(structure, x64):
    assert_each_level_is_left_out(random_design(structure, 3, weights=False), 0, 3)
    assert_each_level_is_left_out(random_design(structure, 4, weights=True, offset=True), 0, 4, reml=False)


@pytest.mark.parametrize("structure", NESTED)
@pytest.mark.parametrize("padding", [0, 3], ids=["plain", "padded"])
def test_nested(structure, padding, monkeypatch, x64):
    """Levels of every factor: what they contain goes with them, and what contains them loses their rows."""
    monkeypatch.setattr("jaxmixed.core._nested_plan.MOST_PADDING", padding)
    design = random_design(structure, 5, weights=True)
    for factor, term in enumerate(design.terms):
        if term.n_levels < 40:
            assert_each_level_is_left_out(design, factor, 5)


@pytest.mark.parametrize("structure", CROSSED)
def test_crossed(structure):
    """Rows are zeroed and shapes stay."""
    design = random_design(structure, 6, weights=True, offset=True)
    prepared, theta = core.condition(design), random_theta(design, 6)
    stats = core.suffstats(design)
    assert core.deletions(prepared, core.plan(prepared), design.y, 0) is None
    for term in design.terms:
        for level in range(0, term.n_levels, 3):
            kept = term.codes != level
            left = core.row_weighted(prepared, design.y, stats, kept.astype(float))
            assert [a.shape for a in jax.tree.leaves(left)] == [a.shape for a in jax.tree.leaves(stats)]
            assert_is(core.estimates(theta, left), dense_oracle(rows_left(design, kept), theta))


def test_rank():
    """A column of X that only one level has goes with it."""
    design = random_design("intercept", 7)
    X = np.column_stack([design.X, design.terms[0].codes == 2])
    prepared = core.condition(core.Design(design.y, X, design.terms))
    deletions = core.deletions(prepared, core.plan(prepared), design.y, 0)
    stats = core.assemble(prepared, core.plan(prepared), design.y, compress=True)
    lost = core.rank_deficient(stats.C - deletions.C, stats.n - deletions.n)
    assert np.flatnonzero(lost).tolist() == [2]


def test_the_search_leaves_the_boundary(x64):
    """From a theta of zero, where the criterion has no slope, to the optimum found from elsewhere."""
    stats = core.compress(random_design("few_patterns", 8))
    refit = jax.jit(core.refit, static_argnames="reml")
    near, zero, far = (refit(stats, np.full(3, start), reml=True) for start in (0.7, 0.0, 3.0))
    for found in (zero, far):
        assert found.fit.result == near.fit.result == 0
        np.testing.assert_allclose(found.estimates.criterion, near.estimates.criterion, atol=1e-8)
        np.testing.assert_allclose(found.estimates.beta, near.estimates.beta, rtol=1e-5)
