"""The unprofiled log likelihood, against dense algebra and differences of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    STRUCTURES,
    lower_factors,
    lower_positions,
    random_design,
    random_theta,
    with_slow_ones_marked,
)

from jaxmixed import core

BETA = np.array([0.4, -0.7, 1.1])


def elements(design, theta, sigma):
    """Return the lower triangles of every Sigma_t, and sigma^2."""
    pairs = zip(lower_factors(design, theta), design.terms, strict=True)
    lower = [(L @ L.T)[lower_positions(term.blocks)] for L, term in pairs]
    return sigma**2 * np.concatenate([*lower, [1.0]])


def dense(design, beta, psi):
    """Return the log density of y, from its covariance matrix."""
    V, first = np.diag(psi[-1] / (1 if design.weights is None else design.weights)), 0
    for term in design.terms:
        (row, column), n = lower_positions(term.blocks), len(design.y)
        Sigma = np.zeros((term.z.shape[1],) * 2)
        Sigma[row, column] = Sigma[column, row] = psi[first : first + len(row)]
        first += len(row)
        same = term.codes[:, None] == term.codes
        V = V + same * (term.z @ Sigma @ term.z.T)
    r = design.y - design.offset - design.X @ beta
    return -(np.linalg.slogdet(V)[1] + n * np.log(2 * np.pi) + r @ np.linalg.solve(V, r)) / 2


def singular(design, theta):
    """Make the last column of every Lambda, and all of the first factor's, vanish."""
    blocks = [lower_positions(term.blocks)[1] for term in design.terms]
    kept = [(column < column.max()) * (t > 0) for t, column in enumerate(blocks)]
    return np.concatenate(kept) * theta


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure(structure):
    design = random_design(structure, 3, weights=True, offset=True)
    for theta in (random_theta(design, 1), singular(design, random_theta(design, 1))):
        psi = elements(design, theta, 1.3)
        for stats in (core.suffstats(design), core.compress(design)):
            np.testing.assert_allclose(core.psi(theta, 1.3, stats), psi, rtol=1e-12)
            np.testing.assert_allclose(core.loglik(BETA, psi, stats), dense(design, BETA, psi), rtol=1e-11)


@pytest.mark.parametrize(
    "structure", with_slow_ones_marked(["few_patterns", "nested_two_slope", "crossed_slopes"])
)
def test_derivatives_at_singular_covariances(structure, x64):
    """Gradient and Hessian in beta and psi where Sigma has no inverse, its root no derivative."""
    design = random_design(structure, 3, weights=True, offset=True)
    stats = core.compress(design)
    x = np.concatenate([BETA, elements(design, singular(design, random_theta(design, 1)), 1.3)])

    def function(x):
        return core.loglik(x[:3], x[3:], stats)

    gradient, hessian = jax.jit(lambda x: (jax.grad(function)(x), jax.hessian(function)(x)))(x)
    steps = 1e-4 * np.eye(len(x))

    def slope(function, x, e):
        """Return the derivative along e, by differences of fourth order."""
        ends = [function(x + k * e) for k in (-2, -1, 1, 2)]
        return np.dot([1, -8, 8, -1], ends) / (12 * e.max())

    def by_dense(x):
        return dense(design, x[:3], x[3:])

    truth = np.array([slope(by_dense, x, e) for e in steps])
    np.testing.assert_allclose(gradient, truth, rtol=0, atol=1e-7 * np.abs(truth).max())
    truth = [[slope(lambda x, b=b: slope(by_dense, x, b), x, 5 * a) for a in steps] for b in steps]
    np.testing.assert_allclose(hessian, truth, rtol=0, atol=1e-4 * np.abs(truth).max())


def test_its_maximum_is_that_of_the_criterion():
    design = random_design("few_patterns", 0)
    stats = core.compress(design)
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, jax.jit(core.fit, static_argnames="reml")(stats, reml=False))
    at = core.estimates(found.theta, stats, reml=False)
    best = core.loglik(at.beta, core.psi(found.theta, at.sigma, stats), stats)
    np.testing.assert_allclose(-2 * best, found.criterion, rtol=1e-10)


def test_what_is_no_covariance_has_no_density():
    stats = core.compress(random_design("few_patterns", 0))
    for psi in ([1.0, 2.0, 1.0, 1.0], [-1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, -1.0], [0.0, 0.1, 1.0, 1.0]):
        assert np.isnan(core.loglik(BETA, np.array(psi), stats))
        assert jnp.isnan(core.loglik(BETA, jnp.array(psi), stats))
    with pytest.raises(ValueError, match=r"expect \(3,\) and \(4,\): every element"):
        core.loglik(BETA, np.ones(3), stats)
