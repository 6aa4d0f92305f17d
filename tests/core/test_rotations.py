"""Steps in all entries of Lambda: rotated back exactly, and out of the valleys of the triangle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_design, random_theta

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.core._covariance import pack_all, relative_factors
from jaxmixed.core._criterion import conditioned_criterion
from jaxmixed.core._fit import value_gradient_hessian
from jaxmixed.core._newton import CONVERGED
from jaxmixed.core._rotations import moved_factors, moves, n_moves

BLOCKS = (((2,),), ((3,), (1,)), ((2, 1), (2,)), ((1, 1),))


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("zeros", [False, True])
def test_points_are_rotated_back(blocks, zeros, x64):
    rng, m = np.random.default_rng(1), n_moves(blocks)
    k = len(pack_all([np.zeros((sum(b), sum(b))) for b in blocks], blocks))
    theta, step = jnp.asarray(rng.normal(size=k)), jnp.asarray(rng.normal(size=m))
    if zeros:  # the first row of every block stays at zero
        first = pack_all([_first_rows(b) for b in blocks], blocks).astype(bool)
        above = np.concatenate([_above(_first_rows(b), b) for b in blocks]).astype(bool)
        theta = jnp.where(first, 0, theta)
        step = jnp.where(np.concatenate([first, above]), 0, step)
    whole = moved_factors(jnp.concatenate([theta, jnp.zeros(m - k)]) + step, blocks)
    found = relative_factors(moves(blocks).retract(theta, step), blocks)
    for L, moved in zip(found, whole, strict=True):
        np.testing.assert_allclose(L @ L.T, moved @ moved.T, atol=1e-12)
        np.testing.assert_array_equal(L, np.tril(L))


def _first_rows(blocks):
    """Ones in the first row of every block."""
    rows = np.zeros((sum(blocks), sum(blocks)))
    for first, b in zip(np.cumsum([0, *blocks]), blocks, strict=False):
        rows[first, first : first + b] = 1
    return rows


def _above(matrix, blocks):
    """Elements above the diagonal of each block, as the columns of its transpose's triangle."""
    found = []
    for first, b in zip(np.cumsum([0, *blocks]), blocks, strict=False):
        found += [matrix[first + i, first + j] for i in range(b) for j in range(i + 1, b)]
    return np.array(found)


@pytest.mark.parametrize(
    "structure", ["one_pattern_slope", pytest.param("nested_two_slope", marks=pytest.mark.slow)]
)
def test_derivatives_in_all_entries(structure, x64):
    """Those of theta come first; along a rotation there is no slope, and the Hessian is made steep."""
    design = random_design(structure, 4)
    stats = jax.tree.map(jnp.asarray, core.compress(design))
    theta = jnp.asarray(random_theta(design, 4))
    value, gradient, hessian = jax.jit(lambda t: value_gradient_hessian(t, stats, True))(theta)
    k = len(theta)
    truth = jax.jit(jax.value_and_grad(lambda t: conditioned_criterion(t, stats, True)))(theta)
    np.testing.assert_allclose(value, truth[0], rtol=1e-12)
    np.testing.assert_allclose(gradient[:k], truth[1], rtol=1e-9, atol=1e-9)
    second = jax.jit(jax.hessian(lambda t: conditioned_criterion(t, stats, True)))(theta)
    np.testing.assert_allclose(hessian[:k, :k], second, rtol=1e-8, atol=1e-8)

    steep = moves(stats.blocks).steepen(theta, hessian) - hessian
    values, vectors = np.linalg.eigh(steep)
    assert (values > 1e-6).sum() == len(gradient) - k
    np.testing.assert_allclose(vectors[:, values > 1e-6].T @ gradient, 0, atol=1e-8 * np.abs(gradient).max())


@pytest.mark.slow
def test_no_valley_between_a_short_row_and_a_long_one(x64):
    """Growth of 27 children, age not centred: some replicates need 200 steps and more within the triangle."""
    data = jm.datasets.load("Orthodont")
    X = np.column_stack([np.ones(len(data)), data["age"]])
    codes = np.unique(data["Subject"], return_inverse=True)[1]
    y = data["distance"].to_numpy(float)
    stats = core.compress(core.Design(y, X, (core.RandomTerm(X, codes, 27, (2,)),)))
    theta = np.asarray(jax.jit(core.fit)(stats).theta)
    truth = core.estimates(theta, stats)
    model = core.sampler(theta, truth.beta, truth.sigma, stats)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(1), jnp.arange(1000))
    drawn = jax.jit(jax.vmap(core.draw, (0, None)))(keys, model)
    warm, cold = core.fit_batch(drawn, theta=theta), core.fit_batch(drawn)
    for found in (warm, cold):
        assert (found.result == CONVERGED).all()
        assert found.steps.max() < 30
    np.testing.assert_allclose(warm.criterion, cold.criterion, rtol=0, atol=1e-7)
