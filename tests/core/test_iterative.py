"""Crossed factors by iterative methods: exact where nothing is left to chance, else within their error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import dense_oracle, random_design, random_theta

from jaxmixed import core
from jaxmixed.core import _iterative_plan, _krylov, _meetings
from jaxmixed.core._krylov import Krylov, log_quadrature
from jaxmixed.core._meetings import Meetings
from jaxmixed.core._structure import RowTerm
from jaxmixed.core._suffstats import conditioned, conditioned_factors

STRUCTURES = ("crossed_two", "crossed_three", "crossed_slopes", "partially_crossed", "crossed_sparse")
EVERYTHING = 24  # directions enough to span the random effects of these designs: nothing is left to probes


@pytest.fixture
def exhaustive(monkeypatch):
    """Let the known directions span everything, so that the log-determinant is exact."""
    monkeypatch.setattr(_iterative_plan, "SOUGHT", EVERYTHING)


def larger(rows=4000, users=120, items=80, seed=0):
    """Return a crossed design with a Schur complement that leaves something to chance."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(users, size=rows), rng.integers(items, size=rows)
    x, ones = rng.normal(size=rows), np.ones((rows, 1))
    y = rng.normal(size=users)[user] + 0.6 * rng.normal(size=items)[item] + 0.5 * x + rng.normal(size=rows)
    terms = (core.RandomTerm(ones, user, users, (1,)), core.RandomTerm(ones, item, items, (1,)))
    return core.Design(y, np.column_stack([ones[:, 0], x]), terms)


@pytest.fixture(scope="module")
def both():
    """Return the statistics of the larger design for either solver."""
    design = larger()
    return core.suffstats(design, core.Iterative(probes=40)), core.suffstats(design, "direct")


@pytest.mark.parametrize("structure", STRUCTURES)
def test_criterion_estimates_and_effects_against_dense_algebra(structure, exhaustive):
    design = random_design(structure, 3, weights=True, offset=True)
    theta = random_theta(design, 3)
    stats, truth = core.suffstats(design, "iterative"), dense_oracle(design, theta, reml=True)
    found = core.estimates(theta, stats, True)
    np.testing.assert_allclose(found.criterion, truth.criterion, rtol=1e-9)
    np.testing.assert_allclose(found.beta, truth.beta, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.vcov, truth.vcov_beta, rtol=1e-7, atol=1e-8)
    for effect, modes, V in zip(
        core.ranef(theta, truth.sigma, stats), truth.modes, truth.conditional_cov, strict=True
    ):
        np.testing.assert_allclose(effect.modes, modes, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(effect.covariances, V, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("structure", ["crossed_slopes", "crossed_three"])
def test_gradient_against_dense_algebra(structure, exhaustive, x64):
    design = random_design(structure, 3)
    theta = random_theta(design, 3)
    stats = core.suffstats(design, "iterative")
    gradient = jax.jit(jax.grad(core.criterion), static_argnums=2)(theta, stats, False)
    truth = dense_oracle(design, theta, reml=False).gradient
    np.testing.assert_allclose(gradient, truth, rtol=1e-6, atol=1e-6)


def test_zero_variances_are_interior(exhaustive, x64):
    design = random_design("crossed_two", 5)
    stats, zero = core.suffstats(design, "iterative"), np.zeros(2)
    truth = dense_oracle(design, zero, reml=True)
    value, gradient = jax.jit(jax.value_and_grad(core.criterion))(zero, stats)
    np.testing.assert_allclose(value, truth.criterion, rtol=1e-10)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    effects = core.ranef(zero, 1.0, stats)
    assert all(np.abs(effect.modes).max() == 0 for effect in effects)


@pytest.mark.slow
def test_second_derivatives_and_implicit_ones(exhaustive, x64):
    design = random_design("crossed_two", 1)
    direct = core.suffstats(design, "direct")
    stats = core.suffstats(design, "iterative")
    theta = jnp.array([0.8, 0.6])
    hessian = jax.jit(jax.hessian(core.criterion))
    np.testing.assert_allclose(hessian(theta, stats), hessian(theta, direct), rtol=1e-5, atol=1e-5)

    rows = [jnp.asarray(term.z) for term in design.terms]

    def estimate(move, solver):
        terms = tuple(
            core.RandomTerm(z, t.codes, t.n_levels, t.blocks) for z, t in zip(rows, design.terms, strict=True)
        )
        y = design.y + move[0] * jnp.cos(jnp.arange(len(design.y)))
        weights = 1 + move[1] * jnp.arange(len(design.y)) / 50
        return core.fit(core.suffstats(core.Design(y, jnp.asarray(design.X), terms, weights), solver)).theta

    slope = jax.jit(jax.jacfwd(estimate), static_argnums=1)
    at = jnp.zeros(2)
    np.testing.assert_allclose(slope(at, "iterative"), slope(at, "direct"), rtol=1e-4, atol=1e-6)


def test_fit_within_its_monte_carlo_error(both, x64):
    iterative, direct = both
    fits = [jax.jit(core.fit)(jax.tree.map(jnp.asarray, stats)) for stats in both]
    found, truth = (jax.tree.map(np.asarray, fit) for fit in fits)
    assert found.result == 0
    error = core.monte_carlo(found, iterative)
    se = np.sqrt(np.diagonal(error.variances))
    assert 0 < error.criterion < 0.5 and (0 < se[:2]).all()
    assert error.residual < 1e-7 and 2 < error.steps < 40
    assert abs(found.criterion - truth.criterion) < 4 * error.criterion
    assert (np.abs(found.theta - truth.theta) < 4 * se[:2]).all()
    # The error of the fixed effects and sigma is only that which theta brings along.
    a, b = core.estimates(found.theta, iterative), core.estimates(found.theta, direct)
    np.testing.assert_allclose(a.beta, b.beta, rtol=1e-8)
    np.testing.assert_allclose(a.sigma, b.sigma, rtol=1e-8)
    observed = core.variance_parameters(truth.theta, direct)
    np.testing.assert_allclose(error.theta_se, np.sqrt(np.diagonal(observed.vcov))[:2], rtol=0.1)


def test_monte_carlo_error_is_what_it_says(x64):
    design, theta = larger(1200, 60, 40), np.array([0.9, 0.6])
    truth = core.criterion(theta, core.suffstats(design, "direct"))
    slope = jax.jit(jax.grad(core.criterion))
    exact = slope(theta, core.suffstats(design, "direct"))
    found, errors, slopes = [], [], []
    prepared = core.condition(design)
    for seed in range(40):
        plan = core.plan(prepared, core.Iterative(probes=10, seed=seed))
        stats = core.assemble(prepared, plan, design.y, compress=True)
        logdet, logarithms = eliminated(stats, theta)
        found.append(logdet)
        errors.append(np.std(logarithms[-10:], ddof=1) / np.sqrt(10))
        if seed < 6:
            slopes.append(slope(theta, jax.tree.map(jnp.asarray, stats)))
    exact_logdet = found[-1] - (core.criterion(theta, stats) - truth)
    z = (np.array(found) - exact_logdet) / np.array(errors)
    assert abs(z.mean()) < 4 / np.sqrt(40)
    assert 0.7 < z.std() < 1.5
    assert np.abs(np.mean(slopes, axis=0) - exact).max() < 0.02 * np.abs(exact).max()


@jax.jit
def eliminated(stats, theta):
    solved = stats.structure.solve(conditioned_factors(theta, stats), stats.C)
    return solved.reduced.logdet, solved.logarithms


def test_information_and_tests_within_the_error(both):
    theta = np.array([0.9, 0.6])
    found, truth = (core.curvature(theta, stats) for stats in both)
    np.testing.assert_allclose(found.d_schur, truth.d_schur, rtol=1e-5, atol=1e-6 * truth.d_schur.max())
    scale = np.abs(truth.dd_schur).max()
    np.testing.assert_allclose(found.dd_schur, truth.dd_schur, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(found.d_logdet, truth.d_logdet, rtol=0.02)
    np.testing.assert_allclose(np.diag(found.dd_logdet), np.diag(truth.dd_logdet), rtol=0.05)
    t = [
        core.satterthwaite(theta, s, True, c).t_test(np.eye(2))
        for s, c in zip(both, (found, truth), strict=True)
    ]
    np.testing.assert_allclose(t[0].std_error, t[1].std_error, rtol=1e-8)
    np.testing.assert_allclose(t[0].df, t[1].df, rtol=0.05)


def test_variances_of_levels_and_rows(both):
    design = larger()
    rows = [RowTerm(term.z[:50] * np.linspace(0.5, 2, 50)[:, None], term.codes[:50]) for term in design.terms]
    elsewhere = RowTerm(rows[0].z, rows[0].codes[::-1].copy())
    posteriors = [
        stats.structure.posterior(conditioned_factors(np.array([0.9, 0.6]), stats), stats.C) for stats in both
    ]
    for a, b in zip(*(posterior.covariances() for posterior in posteriors), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.05)
    for some in (rows, (elsewhere, rows[1])):
        a, b = (posterior.variances(tuple(some)) for posterior in posteriors)
        np.testing.assert_allclose(a, b, rtol=0.05)


def test_under_jit_and_vmap(both, x64):
    iterative, _ = both
    theta = jnp.array([[0.9, 0.6], [0.5, 0.5], [0.1, 0.0]])
    stats = jax.tree.map(jnp.asarray, iterative)
    together = jax.jit(jax.vmap(jax.value_and_grad(core.criterion), in_axes=(0, None)))(theta, stats)
    alone = jax.jit(jax.value_and_grad(core.criterion))
    for i, t in enumerate(theta):
        for a, b in zip(together, alone(t, stats), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-9, atol=1e-6)


def test_single_precision(both):
    iterative, _ = both
    stats = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32) if a.dtype == np.float64 else jnp.asarray(a), iterative
    )
    theta = np.array([0.9, 0.6])
    gradient = jax.jit(jax.grad(core.criterion))(jnp.asarray(theta, jnp.float32), stats)
    assert gradient.dtype == jnp.float32
    with jax.enable_x64(True):
        truth = jax.jit(jax.grad(core.criterion))(jnp.asarray(theta), jax.tree.map(jnp.asarray, iterative))
    np.testing.assert_allclose(gradient, truth, rtol=0.01)


@pytest.mark.parametrize("piece", [3, 2**16])
def test_products_of_meetings(piece, monkeypatch, x64):
    monkeypatch.setattr(_meetings, "PIECE", piece)
    rng = np.random.default_rng(0)
    first = core.RandomTerm(rng.normal(size=(40, 2)), rng.integers(7, size=40), 7, (2,))
    second = core.RandomTerm(rng.normal(size=(40, 3)), rng.integers(5, size=40), 6, (3,))
    meetings = jax.tree.map(jnp.asarray, Meetings.build(first, second))
    dense = np.zeros((7, 2, 6, 3))
    np.add.at(
        dense,
        (first.codes[:, None, None], np.arange(2)[:, None], second.codes[:, None, None], np.arange(3)),
        first.z[:, :, None] * second.z[:, None, :],
    )
    x, y = rng.normal(size=(6, 3, 4)), rng.normal(size=(7, 2, 4))
    np.testing.assert_allclose(meetings.to_first(x), np.einsum("iajb,jbm->iam", dense, x), atol=1e-12)
    np.testing.assert_allclose(meetings.to_second(y), np.einsum("iajb,iam->jbm", dense, y), atol=1e-12)
    K = jnp.asarray(rng.normal(size=(7, 2, 2)))
    np.testing.assert_allclose(
        meetings.squares_to_second(K), np.einsum("iajb,iac,icjd->jbd", dense, K, dense), atol=1e-12
    )
    _, back = jax.vjp(meetings.to_first, x)
    np.testing.assert_allclose(back(jnp.asarray(y))[0], np.einsum("iajb,iam->jbm", dense, y), atol=1e-12)
    many = np.stack([x, 2 * x, x**2])
    np.testing.assert_allclose(
        jax.vmap(meetings.to_first)(many), np.einsum("iajb,sjbm->siam", dense, many), atol=1e-12
    )


def test_logarithm_by_quadrature(x64):
    rng = np.random.default_rng(0)
    diagonal, beside = rng.uniform(1, 3, size=(12, 2)), rng.uniform(0, 0.9, size=(12, 2))
    beside[-1] = 0
    diagonal[:, 1] = 1e-5 + np.append(0, beside[:-1, 1]) + beside[:, 1]  # a condition of 1e5 and more
    T = [
        np.diag(d) + np.diag(b[:-1], 1) + np.diag(b[:-1], -1)
        for d, b in zip(diagonal.T, beside.T, strict=True)
    ]
    truth = [np.einsum("i,i,i->", U[0], np.log(d), U[0]) for d, U in map(np.linalg.eigh, T)]
    found = log_quadrature(Krylov(jnp.asarray(diagonal), jnp.asarray(beside), jnp.zeros(2), jnp.asarray(12)))
    np.testing.assert_allclose(found, truth, rtol=1e-9)


def test_solves_that_do_not_converge_are_reported(monkeypatch, both):
    iterative, _ = both
    monkeypatch.setattr(_krylov, "MAX_STEPS", 2)
    jax.clear_caches()
    found = core.Fit(np.array([0.9, 0.6]), 0.0, np.zeros(2), np.eye(2), 0.0, 3, 0)
    error = core.monte_carlo(found, iterative)
    assert error.steps == 2 and error.residual > 1e-3
    jax.clear_caches()


def test_wrong_calls():
    design = larger(200, 20, 10)
    one = core.Design(design.y, design.X, design.terms[:1])
    with pytest.raises(ValueError, match="one factor, solved at once: leave solver out"):
        core.suffstats(one, "iterative")
    with pytest.raises(ValueError, match="solver is 'cg'; expected 'auto'"):
        core.suffstats(design, "cg")
    with pytest.raises(ValueError, match="probes is 1; expected a whole number, 2 or more"):
        core.Iterative(probes=1)
    with pytest.raises(ValueError, match="solved directly"):
        core.monte_carlo(core.Fit(*[None] * 7), core.suffstats(design))
    psi, beta = core.psi(np.array([0.9, 0.6]), 1.0, core.suffstats(design)), jnp.zeros(2)
    with pytest.raises(ValueError, match="expected a direct one for Psi"):
        core.loglik(beta, psi, core.suffstats(design, "iterative"))


def test_the_solver_follows_the_number_of_levels(monkeypatch):
    design = larger(200, 20, 10)
    assert isinstance(core.suffstats(design).structure, core.Crossed)
    monkeypatch.setattr(_iterative_plan, "DIRECT", 9)
    assert isinstance(core.suffstats(design).structure, core.IterativeCrossed)
    assert conditioned(np.ones(2), core.suffstats(design)).shape == (2,)
