"""Rung one: criterion, estimates and random effects at a fixed theta, against dense algebra."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    CROSSED,
    STRUCTURES,
    dense_oracle,
    designs,
    random_design,
    random_theta,
    with_slow_ones_marked,
)

from jaxmixed import core
from jaxmixed.core import _crossed_plan, _fit
from jaxmixed.core._average_information import value_gradient_information
from jaxmixed.core._couplings_sparse import SparseCouplings
from jaxmixed.core._fit import value_gradient_hessian

RTOL = 1e-10


def assert_matches(design, theta, reml):
    truth = dense_oracle(design, theta, reml=reml)
    for stats in (core.suffstats(design), core.compress(design)):
        found = core.estimates(theta, stats, reml)
        np.testing.assert_allclose(found.criterion, truth.criterion, rtol=RTOL, atol=1e-9)
        np.testing.assert_allclose(found.beta, truth.beta, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(found.sigma, truth.sigma, rtol=RTOL)
        np.testing.assert_allclose(found.vcov, truth.vcov_beta, rtol=1e-9, atol=1e-12)
    effects = core.ranef(theta, truth.sigma, core.suffstats(design))
    for effect, modes, covariances in zip(effects, truth.modes, truth.conditional_cov, strict=True):
        np.testing.assert_allclose(effect.modes, modes, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(effect.covariances, covariances, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
def test_every_structure(structure, weights):
    design = random_design(structure, 3, weights=weights, offset=weights)
    assert_matches(design, random_theta(design, 3), reml=True)
    assert_matches(design, random_theta(design, 4), reml=False)


@hypothesis.given(designs(), st.integers(0, 1000), st.booleans())
def test_random_designs(design, seed, reml):
    assert_matches(design, random_theta(design, seed), reml)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_variances_of_zero(structure):
    design = random_design(structure, 5)
    assert_matches(design, np.zeros_like(random_theta(design, 5)), reml=True)


@jax.jit
def derivatives(thetas, stats, reml_weight):
    """Return gradients and Hessians at several thetas, of a mixture of both criteria."""

    def mixture(theta):
        both = core.criterion(theta, stats, True), core.criterion(theta, stats, False)
        return reml_weight * both[0] + (1 - reml_weight) * both[1]

    return jax.vmap(jax.grad(mixture))(thetas), jax.vmap(jax.hessian(mixture))(thetas)


@pytest.mark.parametrize("structure", with_slow_ones_marked(STRUCTURES))
def test_derivatives(structure, x64):
    """Gradient and Hessian of both criteria, at an interior theta and at zero variances."""
    design = random_design(structure, 2, weights=True)
    theta = random_theta(design, 2)
    stats = core.compress(design)
    for reml in (True, False):
        thetas = jnp.stack([theta, np.zeros_like(theta)])
        gradients, hessians = derivatives(thetas, stats, float(reml))
        truth = dense_oracle(design, theta, reml=reml).gradient
        np.testing.assert_allclose(gradients[0], truth, rtol=1e-9, atol=1e-9 * np.abs(truth).max())
        step, identity = 1e-5, np.eye(len(theta))
        for e, row in zip(identity, hessians[0], strict=True):
            up, down = (dense_oracle(design, theta + s * step * e, reml=reml).gradient for s in (1, -1))
            scale = np.abs(hessians[0]).max()
            np.testing.assert_allclose(row, (up - down) / (2 * step), rtol=1e-5, atol=1e-6 * scale)
        # The criterion is even in every column of Lambda.
        np.testing.assert_allclose(gradients[1], 0, atol=1e-12)
        assert np.isfinite(hessians[1]).all()


@pytest.mark.parametrize("structure", CROSSED)
def test_sparse_couplings(structure, monkeypatch):
    """Small designs are dense enough for matrix products; the list of pairs gives the same."""
    monkeypatch.setattr(_crossed_plan, "PAIR", 0)
    design = random_design(structure, 6, weights=True)
    assert isinstance(core.suffstats(design).structure.couplings, SparseCouplings)
    assert_matches(design, random_theta(design, 6), reml=True)


@pytest.mark.slow
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
def test_average_information(dense, monkeypatch, x64):
    """Its value and gradient are exact, and its Newton steps end at the same minimum."""
    if not dense:
        monkeypatch.setattr(_crossed_plan, "PAIR", 0)
    design = random_design("crossed_two", 6, weights=True)
    stats = jax.tree.map(jnp.asarray, core.compress(design))
    theta = jnp.asarray(random_theta(design, 6))
    exact = jax.jit(lambda t: value_gradient_hessian(t, stats, True))(theta)
    average = jax.jit(lambda t: value_gradient_information(t, stats.structure, stats, True))(theta)
    for a, b in zip(exact[:2], average[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    by_exact = jax.jit(core.fit)(stats)
    monkeypatch.setattr(_fit, "EXACT_LIMIT", 0)
    by_average = jax.jit(lambda s: core.fit(s))(stats)
    assert by_average.result == 0
    np.testing.assert_allclose(by_average.theta, by_exact.theta, rtol=1e-4)
