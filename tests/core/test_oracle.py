"""Rung one: criterion, estimates and random effects at a fixed theta, against dense algebra."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import STRUCTURES, dense_oracle, designs, random_design, random_theta

from jaxmixed import core

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


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gradient(structure, x64):
    design = random_design(structure, 1, weights=True)
    theta = random_theta(design, 1)
    stats = jax.tree.map(jnp.asarray, core.compress(design))
    for reml in (True, False):
        found = jax.grad(core.criterion)(jnp.asarray(theta), stats, reml)
        truth = dense_oracle(design, theta, reml=reml).gradient
        np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-9 * np.abs(truth).max())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_hessian(structure, x64):
    design = random_design(structure, 2)
    theta = random_theta(design, 2)
    found = jax.hessian(core.criterion)(jnp.asarray(theta), jax.tree.map(jnp.asarray, core.compress(design)))
    step = 1e-5
    for i in range(len(theta)):
        e = step * np.eye(len(theta))[i]
        up, down = (dense_oracle(design, theta + s * e).gradient for s in (1, -1))
        difference = (up - down) / (2 * step)
        np.testing.assert_allclose(found[i], difference, rtol=1e-5, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gradient_at_zero_is_zero(structure, x64):
    design = random_design(structure, 2)
    theta = jnp.zeros(len(random_theta(design, 2)))
    stats = jax.tree.map(jnp.asarray, core.compress(design))
    np.testing.assert_allclose(jax.grad(core.criterion)(theta, stats), 0, atol=1e-12)
    assert np.isfinite(jax.hessian(core.criterion)(theta, stats)).all()
