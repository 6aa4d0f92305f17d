"""Balanced designs, one variance for each stratum: against dense algebra, and against unmerged statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import dense_oracle, random_theta

from jaxmixed import core
from jaxmixed.core._assemble import assemble_many
from jaxmixed.core._strata import Strata
from jaxmixed.core._structure import Structure


def intercepts(*codes, weights=None):
    """Return a design with a random intercept for each factor, rows in no order."""
    rng = np.random.default_rng(len(codes[0]))
    n, order = len(codes[0]), rng.permutation(len(codes[0]))
    ones = np.ones((n, 1))
    terms = tuple(core.RandomTerm(ones, own[order], own.max() + 1, (1,)) for own in codes)
    X = np.column_stack([ones, rng.normal(size=n), codes[0][order] % 2 == 0])
    y = rng.normal(size=n) + sum(rng.normal(size=own.max() + 1)[own[order]] for own in codes)
    return core.Design(y, X, terms, weights, rng.normal(size=n))


def grid(*sizes):
    """Return the codes of all combinations of levels."""
    return [axis.ravel() for axis in np.indices(sizes)]


def nested():
    outer, inner, _ = grid(5, 3, 2)
    return intercepts(outer, outer * 3 + inner)


def nested_three():
    a, b, c, _ = grid(4, 3, 2, 2)
    return intercepts(a * 6 + b * 2 + c, a, a * 3 + b)  # innermost first, outermost second


def crossed():
    return intercepts(*grid(6, 4))


def with_interaction():
    a, b, _ = grid(5, 4, 2)
    return intercepts(a, b, a * 4 + b)


def crossed_within():
    """Judges and wines that meet within a session only: what they have in common is the session."""
    session, judge, wine = grid(3, 4, 2)
    return intercepts(session * 4 + judge, session * 2 + wine)


def three_crossed():
    return intercepts(*grid(4, 3, 5))


def weighted():
    return intercepts(*grid(6, 4), weights=np.full(24, 2.5))


# Each with the dimensions of its strata: those of the terms, and those that factors have in common.
DESIGNS = {
    nested: [5, 10],
    nested_three: [12, 4, 8],
    crossed: [5, 3, 1],
    with_interaction: [4, 3, 12, 1],
    crossed_within: [9, 3, 3],
    three_crossed: [3, 2, 4, 1],
    weighted: [5, 3, 1],
}
every_design = pytest.mark.parametrize("make", DESIGNS, ids=lambda make: make.__name__)


@every_design
def test_strata(make):
    structure = core.compress(make()).structure
    assert isinstance(structure, Strata)
    assert structure.degrees.tolist() == DESIGNS[make]


@every_design
@pytest.mark.parametrize("reml", [True, False])
def test_dense_algebra(make, reml, x64):
    design = make()
    stats, theta = core.compress(design), random_theta(design, 1)
    for at in (theta, np.where(np.arange(len(theta)) == 0, 0, theta)):
        truth = dense_oracle(design, at, reml=reml)
        np.testing.assert_allclose(core.criterion(at, stats, reml), truth.criterion, rtol=1e-12)
        slope = jax.jit(jax.grad(functools.partial(core.criterion, reml=reml)))(at, stats)
        np.testing.assert_allclose(slope, truth.gradient, rtol=1e-9, atol=1e-9)
        found = core.estimates(at, stats, reml)
        np.testing.assert_allclose(found.beta, truth.beta, rtol=1e-10)
        np.testing.assert_allclose(found.sigma, truth.sigma, rtol=1e-10)
        np.testing.assert_allclose(found.vcov, truth.vcov_beta, rtol=1e-9, atol=1e-12)


@every_design
def test_curvature(make, x64):
    """Closed form, as by differentiation in a covariance that is shifted."""
    design = make()
    stats, theta = core.compress(design), random_theta(design, 2)
    directions = [np.array([[[1.0]], [[0.5]]]), *(np.ones((1, 1, 1)) for _ in design.terms[1:])]
    factors = core.conditioned_factors(theta, stats)
    found = stats.structure.curvature(factors, directions, stats.C)
    expected = jax.jit(lambda s: Structure.curvature(s.structure, factors, directions, s.C))(
        jax.tree.map(jnp.asarray, stats)
    )
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-10)


@every_design
@pytest.mark.parametrize("reml", [True, False])
def test_fit(make, reml, x64):
    """As without merging, from a start that is near."""
    design = make()
    found, expected = (core.fit(stats, reml) for stats in (core.compress(design), core.suffstats(design)))
    assert found.result == 0
    assert found.steps <= expected.steps + 1
    np.testing.assert_allclose(found.criterion, expected.criterion, rtol=1e-10)
    np.testing.assert_allclose(found.theta, expected.theta, atol=1e-5)


def test_start_of_a_balanced_fit_is_its_minimum(x64):
    """Fixed effects lie in one stratum each, and variances are large."""
    rng = np.random.default_rng(0)
    a, b = grid(8, 7)
    y = 3 * rng.normal(size=8)[a] + 2 * rng.normal(size=7)[b] + rng.normal(size=56)
    ones = np.ones((56, 1))
    terms = tuple(core.RandomTerm(ones, own, own.max() + 1, (1,)) for own in (a, b))
    assert core.fit(core.compress(core.Design(y, ones, terms))).steps == 1


@every_design
def test_many_responses(make):
    design = make()
    prepared = core.condition(design)
    plan = core.plan(prepared)
    Y = np.random.default_rng(3).normal(size=(len(design.y), 4))
    together = assemble_many(prepared, plan, Y, compress=True)
    for i, y in enumerate(Y.T):
        one = core.assemble(prepared, plan, y, compress=True)
        np.testing.assert_allclose(together.structure.G[i], one.structure.G, rtol=1e-10, atol=1e-10)


@every_design
def test_extended(make):
    design = make()
    stats, theta = core.compress(design), random_theta(design, 4)
    longer = stats.structure.extended((7,)).reduce(core.conditioned_factors(theta, stats), stats.C)
    found = stats.structure.reduce(core.conditioned_factors(theta, stats), stats.C)
    np.testing.assert_allclose(longer.logdet, found.logdet, rtol=1e-13)
    np.testing.assert_allclose(longer.schur, found.schur, rtol=1e-13)


def test_responses_may_be_traced_and_keep_their_dtype():
    design = nested()
    prepared = core.condition(design)
    plan = core.plan(prepared)

    def strata(y):
        return core.assemble(prepared, plan, y, compress=True).structure

    expected = strata(design.y)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(strata)(design.y).G, expected.G, rtol=1e-9, atol=1e-9)
    single = core.Design(
        *(np.asarray(part, np.float32) for part in (design.y, design.X)),
        tuple(core.RandomTerm(t.z.astype(np.float32), t.codes, t.n_levels, t.blocks) for t in design.terms),
    )
    found = core.compress(single).structure
    assert isinstance(found, Strata)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}


def without_a_row():
    a, b = (own[1:] for own in grid(6, 4))
    return intercepts(a, b)


def unequal_weights():
    return intercepts(*grid(6, 4), weights=np.arange(1.0, 25))


def slopes():
    a, b = grid(6, 4)
    z = np.column_stack([np.ones(24), b - 1.5])
    terms = core.RandomTerm(z, a, 6, (2,)), core.RandomTerm(np.ones((24, 1)), b, 4, (1,))
    return core.Design(np.arange(24.0) % 7, np.ones((24, 1)), terms)


def incomplete_blocks():
    """Every treatment twice with every other, in blocks of two: equal sizes, but not in proportion."""
    pairs = [(i, j) for i in range(4) for j in range(i)]
    return intercepts(np.repeat(np.arange(6), 2), np.array(pairs).ravel())


def one_factor_twice():
    a, _, _ = grid(5, 3, 2)
    return intercepts(a, a)


@pytest.mark.parametrize(
    "make", [without_a_row, unequal_weights, slopes, incomplete_blocks, one_factor_twice]
)
def test_unbalanced(make, x64):
    """Nothing is merged that differs."""
    design = make()
    stats, theta = core.compress(design), random_theta(design, 5)
    assert not isinstance(stats.structure, Strata)
    np.testing.assert_allclose(
        core.criterion(theta, stats), dense_oracle(design, theta).criterion, rtol=1e-10
    )
