"""Many fits at once equal the same fits one by one, whatever stands beside them."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_design

from jaxmixed import core
from jaxmixed.core._batch import fit_batch

SOME = (
    "one_pattern_slope",
    pytest.param("distinct_patterns", marks=pytest.mark.slow),
    pytest.param("blocks_two_one", marks=pytest.mark.slow),
    pytest.param("nested_two", marks=pytest.mark.slow),
    pytest.param("crossed_two", marks=pytest.mark.slow),
)


@functools.cache
def compiled_fit():
    return jax.jit(core.fit, static_argnames="reml")


def replicates(structure, n):
    """Responses of one design, the first few without any random effect, hence often singular."""
    design = random_design(structure, 3)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n, len(design.y)))
    responses = np.where(np.arange(n)[:, None] < n // 3, noise, design.y + noise)
    prepared = core.condition(design)
    plan = core.plan(prepared)
    each = [core.assemble(prepared, plan, y, compress=True) for y in responses]
    return each, jax.tree.map(lambda *leaves: np.stack(leaves), *each)


def one_by_one(each, **options):
    found = [jax.tree.map(np.asarray, compiled_fit()(stats, **options)) for stats in each]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


@pytest.mark.parametrize("structure", SOME)
def test_equal_to_single_fits(structure, x64):
    each, stats = replicates(structure, 30)
    together, alone = fit_batch(stats), one_by_one(each)
    np.testing.assert_array_equal(together.result, 0)
    assert (alone.theta == 0).any()
    np.testing.assert_allclose(together.criterion, alone.criterion, atol=1e-7, rtol=0)
    np.testing.assert_allclose(together.theta, alone.theta, rtol=1e-5, atol=1e-5)
    assert together.hessian.shape == (30, *alone.hessian.shape[1:])


def test_shared_leaves_order_chunks_and_failures(x64):
    each, stats = replicates("one_pattern_slope", 30)
    everywhere = fit_batch(stats)

    axes = jax.tree.map(lambda leaf: 0 if (leaf != leaf[:1]).any() else None, stats)
    shared = jax.tree.map(lambda all_, one: all_ if (all_ != all_[:1]).any() else one, stats, each[0])
    fewer = fit_batch(shared, axes)
    np.testing.assert_allclose(fewer.criterion, everywhere.criterion, rtol=1e-12)

    order = np.random.default_rng(1).permutation(30)
    moved = fit_batch(jax.tree.map(lambda leaf: leaf[order], stats))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[order]), moved, everywhere)

    for chunk in (8, 16):
        found = fit_batch(stats, chunk=chunk)
        np.testing.assert_allclose(found.criterion, everywhere.criterion, rtol=1e-12)
        np.testing.assert_allclose(found.theta, everywhere.theta, atol=1e-7)

    broken = eqx.tree_at(lambda s: s.C, stats, stats.C.copy())
    broken.C[5] = np.nan
    found = fit_batch(broken)
    assert found.result[5] == 2
    rest = np.arange(30) != 5
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[rest], b[rest]), found, everywhere)


def test_levels_of_nested_factors(x64):
    """Statistics that keep every level have fields without arrays."""
    design = random_design("nested_two", 3)
    each = [core.suffstats(eqx.tree_at(lambda d: d.y, design, factor * design.y)) for factor in (1, 3)]
    assert None in each[0].structure.parents
    found = fit_batch(jax.tree.map(lambda *leaves: np.stack(leaves), *each))
    np.testing.assert_allclose(found.theta[0], found.theta[1], rtol=1e-6)


@pytest.mark.slow
def test_start_and_likelihood(x64):
    each, stats = replicates("one_pattern_slope", 30)
    theta = np.array([1.0, 0.1, 0.5])
    together, alone = fit_batch(stats, reml=False, theta=theta), one_by_one(each, reml=False)
    np.testing.assert_allclose(together.criterion, alone.criterion, atol=1e-7, rtol=0)


@pytest.mark.slow
def test_single_precision():
    each, stats = replicates("one_pattern_intercept", 30)
    stats = jax.tree.map(lambda leaf: leaf.astype(np.float32), stats)
    found = fit_batch(stats)
    assert found.theta.dtype == np.float32
    with jax.enable_x64(True):
        alone = one_by_one(each)
    np.testing.assert_allclose(found.theta, alone.theta, atol=0.03)
    np.testing.assert_allclose(found.criterion, alone.criterion, atol=1e-3)
    for i, one in enumerate(each):
        truth = core.estimates(alone.theta[i], one)
        rounded = core.estimates(found.theta[i], jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), one))
        assert rounded.beta.dtype == np.float32
        assert (np.abs(rounded.beta - truth.beta) < 1e-4 * np.sqrt(np.diagonal(truth.vcov))).all()


def test_axes_are_checked():
    _, stats = replicates("one_pattern_intercept", 4)
    with pytest.raises(ValueError, match="lengths none"):
        fit_batch(stats, None)
    with pytest.raises(ValueError, match="lengths 3, 4"):
        fit_batch(eqx.tree_at(lambda s: s.C, stats, jnp.zeros((3, 4, 4))))
