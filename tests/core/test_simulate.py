"""Simulated responses have the moments of the model, and depend on their key alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import lower_factors, random_design, random_theta

from jaxmixed import core

N = 40_000


@pytest.mark.parametrize("structure", ["blocks_two_one", "crossed_slopes"])
def test_moments(structure, x64):
    """Mean and covariance of many draws, each entry within six standard errors."""
    design = random_design(structure, 1, weights=True, offset=True)
    theta, beta, sigma = random_theta(design, 1), np.array([1.0, -2.0, 0.5]), 0.8
    keys = jax.random.split(jax.random.key(3), N)
    draws = np.asarray(jax.jit(jax.vmap(lambda k: core.simulate(k, design, theta, beta, sigma)))(keys))
    V = np.diag(1 / design.weights)
    for term, factor in zip(design.terms, lower_factors(design, theta), strict=True):
        zL = term.z @ factor
        V += (zL @ zL.T) * (term.codes[:, None] == term.codes[None, :])
    V *= sigma**2
    mean_error = (draws.mean(0) - design.X @ beta - design.offset) / np.sqrt(np.diag(V) / N)
    assert np.abs(mean_error).max() < 6
    spread = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / N)
    assert (np.abs(np.cov(draws.T) - V) / spread).max() < 6


def test_the_key_decides_and_nothing_else():
    design = random_design("intercept", 1)
    theta, beta = random_theta(design, 1), np.ones(3)
    draw = jax.jit(lambda key: core.simulate(key, design, theta, beta, 1.0))
    one, same, other = (draw(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_the_type_of_X_is_kept():
    design = random_design("intercept", 1)
    single = jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, design)
    found = core.simulate(jax.random.key(0), single, random_theta(design, 1), np.ones(3), 1.0)
    assert found.dtype == jnp.float32
