"""Tests of beta and standard errors of variances, as pure functions: derivatives, invariances, transforms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from helpers import dense_oracle, random_design, random_theta, with_slow_ones_marked
from scipy.linalg import block_diag

from jaxmixed import core
from jaxmixed.core._inference import _unconditioning
from jaxmixed.core._observed import observed
from jaxmixed.core._sweep import _sweep, sweep
from jaxmixed.frame._estimate import curvature, estimate

SOME = with_slow_ones_marked(
    ["intercept", "blocks_two_one", "three_by_three", "nested_two_slope", "crossed_two"]
)


def fitted(structure, seed=3, **options):
    design = random_design(structure, seed, **options)
    stats = core.compress(design)
    theta = estimate(stats, reml=True).theta
    return design, stats, theta, curvature(theta, stats)


def unprofiled(design, eta, reml=True):
    """Return the criterion at (theta, sigma) by dense algebra."""
    truth = dense_oracle(design, eta[:-1], reml=reml)
    dof = len(design.y) - design.X.shape[1] * reml
    ratio = (truth.sigma / eta[-1]) ** 2
    return truth.criterion + dof * (ratio - 1 - np.log(ratio))


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("structure", SOME)
def test_hessian_in_theta_and_sigma(structure, reml):
    """Second differences of the dense criterion, anywhere, not only at the optimum."""
    design = random_design(structure, 3, weights=True)
    stats, theta = core.compress(design), random_theta(design, 3)
    found = observed(theta, curvature(theta, stats), stats, reml).hessian
    sigma = core.estimates(theta, stats, reml).sigma
    inwards = block_diag(np.linalg.inv(_unconditioning(stats)), 1 / sigma)
    found = inwards.T @ found @ inwards
    eta = np.append(theta, sigma)
    steps = 1e-4 * np.eye(len(eta)) * np.maximum(np.abs(eta), 0.1)

    def difference(s, t):
        corners = [a * b * unprofiled(design, eta + a * s + b * t, reml) for a in (1, -1) for b in (1, -1)]
        return sum(corners) / (4 * s.max() * t.max())

    expected = np.array([[difference(s, t) for t in steps] for s in steps])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("structure", SOME)
def test_numpy_and_compiled_agree(structure, x64):
    """Every test of every method, on NumPy arrays and inside jit."""
    _, stats, theta, curved = fitted(structure)
    L, value = np.eye(3)[1:], np.array([0.5, 0.0])

    def tests(theta, curved, stats):
        methods = (
            core.wald(theta, stats, df=7.0),
            core.satterthwaite(theta, stats, True, curved),
            core.kenward_roger(theta, stats, curved),
        )
        return [(m.t_test(L, value), m.f_test(L, value), m.beta, m.vcov) for m in methods]

    eager = tests(theta, curved, stats)
    compiled = jax.jit(tests)(*jax.tree.map(jnp.asarray, (theta, curved, stats)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), eager, compiled)


@pytest.mark.slow
def test_methods_can_be_mapped_and_differentiated(x64):
    """Degrees of freedom of many responses at once, and their derivative in theta."""
    design, _, theta, _ = fitted("distinct_patterns")
    prepared = core.condition(design)
    plan, rng = core.plan(prepared), np.random.default_rng(1)
    responses = jnp.asarray(design.y + rng.normal(size=(3, len(design.y))))

    def df(y, theta):
        own = core.assemble(prepared, plan, y, compress=False)
        return core.satterthwaite(theta, own).t_test(np.eye(3)).df

    theta = jnp.asarray(theta)
    together = jax.jit(jax.vmap(df, (0, None)))(responses, theta)
    for y, row in zip(responses, together, strict=True):
        own = core.assemble(prepared, plan, np.asarray(y), compress=True)
        np.testing.assert_allclose(
            core.satterthwaite(np.asarray(theta), own).t_test(np.eye(3)).df, row, rtol=1e-9
        )
    slope = jax.jit(jax.jacfwd(df, argnums=1))(responses[0], theta)
    step = 1e-5
    for i, e in enumerate(np.eye(len(theta))):
        up, down = (df(responses[0], theta + s * step * e) for s in (1, -1))
        np.testing.assert_allclose(slope[:, i], (up - down) / (2 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_scale_and_origin_of_covariates_do_not_matter(method):
    """Covariates of size 1e6 about 1e9: degrees of freedom and t of the slopes stay as they were."""
    design, stats, theta, curved = fitted("distinct_patterns", 5)
    moved = design.X.copy()
    moved[:, 1:] = 1e9 + 1e6 * moved[:, 1:]
    far = core.Design(1e-8 * design.y, moved, design.terms)
    there = core.compress(far)
    at = estimate(there, reml=True).theta
    np.testing.assert_allclose(at, theta, rtol=1e-6)
    slopes = np.eye(3)[1:]

    def tests(theta, stats, curved):
        reference = getattr(core, method)(theta, stats, curved=curved)
        return reference.t_test(slopes), reference.f_test(slopes)

    (t, F), (far_t, far_F) = tests(theta, stats, curved), tests(at, there, curvature(at, there))
    np.testing.assert_allclose(far_t.df, t.df, rtol=1e-5)
    np.testing.assert_allclose(far_F.df_den, F.df_den, rtol=1e-5)
    np.testing.assert_allclose([*far_t.statistic, far_F.statistic], [*t.statistic, F.statistic], rtol=1e-5)


def test_covariates_of_random_effects_far_from_zero():
    """Intercept and slope on calendar years: their psi all but coincide, yet the tests do not move."""
    rng = np.random.default_rng(2)
    group, x = np.repeat(np.arange(12), 6), np.tile(np.arange(6.0), 12)
    y = 1 + 0.5 * x + rng.normal(size=12)[group] + rng.normal(size=12)[group] * x + rng.normal(size=72)

    def tests(x):
        X = np.column_stack([np.ones(72), x])
        stats = core.compress(core.Design(y, X, (core.RandomTerm(X, group, 12, (2,)),)))
        theta = estimate(stats, reml=True).theta
        curved = curvature(theta, stats)
        methods = core.satterthwaite(theta, stats, True, curved), core.kenward_roger(theta, stats, curved)
        return [method.t_test(np.eye(2)[1:]).df for method in methods]

    np.testing.assert_allclose(tests(x + 2000), tests(x), rtol=1e-6)


@pytest.mark.parametrize("method", ["wald", "satterthwaite", "kenward_roger"])
def test_joint_tests(method):
    """One row is its t test squared; rows that depend on others add nothing; values shift estimates."""
    _, stats, theta, _ = fitted("intercept")
    reference = getattr(core, method)(theta, stats)
    L = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    single, joint = reference.t_test(L[:1]), reference.f_test(L[:1])
    np.testing.assert_allclose(joint.statistic, single.statistic[0] ** 2, rtol=1e-12)
    np.testing.assert_allclose(joint.df_den, single.df[0], rtol=1e-10)
    np.testing.assert_allclose(joint.p_value, single.p_value[0], rtol=1e-8)
    both, repeated = reference.f_test(L), reference.f_test(np.vstack([L, L[:1] + L[1:]]))
    assert int(repeated.df_num) == int(both.df_num) == 2
    np.testing.assert_allclose(repeated.statistic, both.statistic, rtol=1e-10)
    at_estimate = reference.f_test(L, L @ reference.beta)
    np.testing.assert_allclose([at_estimate.statistic, at_estimate.p_value], [0, 1], atol=1e-10)


def test_known_variance_parameters():
    """A variance of zero counts as known, so that ordinary degrees of freedom are left."""
    design, stats, _, _ = fitted("intercept")
    reference = core.satterthwaite(np.zeros(1), stats)
    np.testing.assert_allclose(reference.t_test(np.eye(3)).df, len(design.y) - 3)


def test_tail_probabilities(x64):
    t, df = np.array([0.0, 1.3, -4.0, 50.0]), np.array([1.0, 4.5, 1e6, np.inf])
    expected = 2 * scipy.stats.t.sf(np.abs(t), df)
    np.testing.assert_allclose(core.t_pvalue(t, df), expected, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(
        core.t_pvalue(jnp.asarray(t), jnp.asarray(df)), expected, rtol=1e-6, atol=1e-300
    )
    f = core.f_pvalue(np.array([2.5, 2.5]), 3, np.array([11.0, np.inf]))
    np.testing.assert_allclose(f, [scipy.stats.f.sf(2.5, 3, 11), scipy.stats.chi2.sf(7.5, 3)], rtol=1e-10)
    assert np.isnan(core.t_pvalue(np.array([1.0]), np.array([np.nan]))).all()


def test_sweeping():
    rng = np.random.default_rng(4)
    A = rng.normal(size=(5, 5)) * [1, 1e5, 1, 1e-5, 1]
    full = A.T @ A
    swept = sweep(full)
    scale = np.sqrt(np.diag(full))
    np.testing.assert_allclose((swept.inverse @ full) * scale[:, None] / scale, np.eye(5), atol=1e-7)
    assert not swept.skipped.any()
    np.testing.assert_allclose(_sweep(full).inverse, swept.inverse, rtol=1e-7)
    # A parameter that is a combination of two others is passed over; quadratic forms of estimable ones stay.
    A = rng.normal(size=(5, 5))
    B = np.column_stack([A[:, :2], A[:, 0] + 2 * A[:, 1], A[:, 3:]])
    swept = sweep(B.T @ B)
    assert swept.skipped.tolist() == [False, False, True, False, False]
    g = B.T @ rng.normal(size=5)
    np.testing.assert_allclose(g @ swept.inverse @ g, g @ np.linalg.pinv(B.T @ B, rcond=1e-10) @ g, rtol=1e-8)
    assert sweep(np.array([[-1.0]])).skipped.all()
