"""Variances of linear predictors, against the inverse of Henderson's equations formed densely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    CROSSED,
    NESTED,
    STRUCTURES,
    dense_oracle,
    lower_factors,
    random_design,
    random_theta,
    with_slow_ones_marked,
)
from scipy.linalg import block_diag

from jaxmixed import core
from jaxmixed.core import _couplings_sparse, _crossed_plan


def indicators(terms, levels) -> np.ndarray:
    """Z of some rows, (m, sum J q); zero where a level is -1."""
    blocks = []
    for term, J in zip(terms, levels, strict=True):
        m, q = term.z.shape
        Z = np.zeros((m, J, q))
        Z[np.arange(m), np.maximum(term.codes, 0)] = np.where(term.codes[:, None] >= 0, term.z, 0)
        blocks.append(Z.reshape(m, -1))
    return np.hstack(blocks)


def error_covariance(design, theta) -> np.ndarray:
    """Joint covariance of the errors of beta-hat and b-hat relative to sigma^2, effects first.

    Henderson's equations in u, b = Lambda u, which are regular for singular Lambda too.
    """
    levels = [t.n_levels for t in design.terms]
    factors = lower_factors(design, theta)
    Lambda = block_diag(*[np.kron(np.eye(J), L) for J, L in zip(levels, factors, strict=True)])
    w = np.ones(len(design.y)) if design.weights is None else design.weights
    H = np.hstack([indicators(design.terms, levels) @ Lambda, design.X])
    H = H.T @ (w[:, None] * H)
    H[: len(Lambda), : len(Lambda)] += np.eye(len(Lambda))
    carry = block_diag(Lambda, np.eye(design.X.shape[1]))
    return carry @ np.linalg.inv(H) @ carry.T


def new_rows(design, rng, m=25):
    """Draw rows at random levels, nested or not in the fit, some of them unknown."""
    X = rng.normal(size=(m, design.X.shape[1]))
    terms = tuple(
        core.RandomTerm(
            rng.normal(size=(m, t.z.shape[1])), rng.integers(-1, t.n_levels, m), t.n_levels, t.blocks
        )
        for t in design.terms
    )
    return X, terms


def assert_matches(design, theta, X, terms):
    covariance = error_covariance(design, theta)
    rows = np.hstack([indicators(terms, [t.n_levels for t in design.terms]), X])
    stats = core.suffstats(design)
    found = core.row_variance(theta, stats, X, terms)
    np.testing.assert_allclose(found, ((rows @ covariance) * rows).sum(1), rtol=1e-9, atol=1e-12)
    p = X.shape[1]
    marginal = ((X @ covariance[-p:, -p:]) * X).sum(1)
    np.testing.assert_allclose(core.row_variance(theta, stats, X), marginal, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(core.row_variance(theta, core.compress(design), X), marginal, rtol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
def test_every_structure(structure, weights):
    design = random_design(structure, 3, weights=weights)
    theta = random_theta(design, 3)
    assert_matches(design, theta, design.X, design.terms)
    assert_matches(design, theta, *new_rows(design, np.random.default_rng(4)))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_variances_of_zero(structure):
    """With all variances zero, and with that of the first effect only."""
    design = random_design(structure, 5, weights=True)
    theta = random_theta(design, 5)
    for singular in (0 * theta, np.where(np.arange(len(theta)) == 0, 0, theta)):
        assert_matches(design, singular, design.X, design.terms)


@pytest.mark.parametrize("structure", CROSSED)
def test_sparse_couplings(structure, monkeypatch):
    """Small designs are dense enough for matrix products; lists of entries, cut up, give the same."""
    monkeypatch.setattr(_crossed_plan, "PAIR", 0)
    monkeypatch.setattr(_couplings_sparse, "CHUNK", 50)
    design = random_design(structure, 6, weights=True)
    assert_matches(design, random_theta(design, 6), design.X, design.terms)
    assert_matches(design, random_theta(design, 6), *new_rows(design, np.random.default_rng(7)))


@pytest.mark.parametrize("structure", NESTED)
def test_families_without_padding(structure, monkeypatch):
    monkeypatch.setattr("jaxmixed.core._nested_plan.MOST_PADDING", 0)
    design = random_design(structure, 8)
    assert_matches(design, random_theta(design, 8), *new_rows(design, np.random.default_rng(9)))


@pytest.mark.parametrize("structure", ["intercept", "distinct_patterns", "nested_three", "crossed_slopes"])
def test_leverages_are_derivatives_of_fitted_values(structure):
    """d yhat_i / d y_i at a fixed theta is w_i times the variance, and fitted values are linear in y."""
    design = random_design(structure, 10, weights=True)
    theta = random_theta(design, 10)
    leverage = design.weights * core.row_variance(theta, core.suffstats(design), design.X, design.terms)
    fitted = dense_oracle(design, theta).fitted
    for i in range(0, len(design.y), 7):
        e = np.arange(len(design.y)) == i
        moved = core.Design(design.y + e, design.X, design.terms, design.weights)
        np.testing.assert_allclose(dense_oracle(moved, theta).fitted[i] - fitted[i], leverage[i], rtol=1e-8)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_prior_variance(structure):
    design = random_design(structure, 11)
    theta = random_theta(design, 11)
    found = core.prior_variance(theta, core.compress(design), design.terms)
    for variance, term, L in zip(found, design.terms, lower_factors(design, theta), strict=True):
        np.testing.assert_allclose(variance, np.diagonal(term.z @ L @ L.T @ term.z.T), rtol=1e-10)


def test_large_covariates():
    """Covariates about 1e9 cost the digits that x and z lose by it, not twice as many."""
    design, shift = random_design("distinct_patterns", 12), np.array([0, 1e9])
    (term,) = design.terms
    moved = core.Design(
        design.y,
        design.X + np.array([0, 1e9, 0]),
        (core.RandomTerm(term.z + shift, term.codes, term.n_levels, term.blocks),),
    )
    theta, stats = random_theta(design, 12), core.suffstats(moved)
    # The same model: the intercepts take the shift back. Its Lambda~, and theta from that.
    root = stats.T[0] @ np.array([[1, -1e9], [0, 1]]) @ lower_factors(design, theta)[0]
    near = np.linalg.solve(stats.T[0], np.linalg.cholesky(root @ root.T))[np.tril_indices(2)]
    found = core.row_variance(near, stats, moved.X, moved.terms)
    exact = core.row_variance(theta, core.suffstats(design), design.X, design.terms)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.parametrize("structure", with_slow_ones_marked(("few_patterns", "nested_two", "crossed_two")))
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
def test_traced(structure, dense, monkeypatch, x64):
    """Jitted and differentiated in theta; JAX arrays give what NumPy gives."""
    if not dense:
        monkeypatch.setattr(_crossed_plan, "PAIR", 0)
    design = random_design(structure, 13, weights=True)
    theta, stats = random_theta(design, 13), core.suffstats(design)

    def total(theta):
        return core.row_variance(theta, stats, design.X, design.terms).sum()

    value, slope = jax.jit(jax.value_and_grad(total))(jnp.asarray(theta))
    np.testing.assert_allclose(value, total(theta), rtol=1e-10)
    for e, derivative in zip(np.eye(len(theta)), slope, strict=True):
        difference = total(theta + 1e-6 * e) - total(theta - 1e-6 * e)
        np.testing.assert_allclose(derivative, difference / 2e-6, rtol=1e-6, atol=1e-8)


def test_statistics_are_checked():
    design = random_design("one_pattern_intercept", 14)
    theta = random_theta(design, 14)
    with pytest.raises(ValueError, match="compressed"):
        core.row_variance(theta, core.compress(design), design.X, design.terms)
    with pytest.raises(ValueError, match="Found 2 terms; expected 1"):
        core.row_variance(theta, core.suffstats(design), design.X, 2 * design.terms)
