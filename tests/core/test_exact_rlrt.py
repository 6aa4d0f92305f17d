"""The exact null distribution of a restricted likelihood ratio."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import f, ks_2samp

from jaxmixed import core
from jaxmixed.core._exact_rlrt import Spectrum, exact_rlrt, simulate_null, spectrum, supremum


def design(balanced=True, weights=False, slope=False, y=None, levels=8) -> core.Design:
    rng = np.random.default_rng(11)
    n = 6 * levels
    codes = np.repeat(np.arange(levels), 6)
    if not balanced:
        codes = np.sort(np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels) // 2]))
    z = rng.normal(size=(n, 1)) if slope else np.ones((n, 1))
    X = np.column_stack([np.ones(n), rng.normal(size=n), codes % 2])
    w = rng.uniform(0.5, 2, n) if weights else None
    y = rng.normal(size=n) if y is None else y
    return core.Design(y, X, (core.RandomTerm(z, codes, levels, (1,)),), w)


def dense_eigenvalues(design: core.Design) -> np.ndarray:
    """Return the eigenvalues of Z'(W - P)Z above zero, z scaled to unit mean square, by n x n matrices."""
    term = design.terms[0]
    root = np.ones(len(design.y)) if design.weights is None else np.sqrt(design.weights)
    z = term.z[:, 0] * root
    Z = np.eye(term.n_levels)[term.codes] * (z / np.sqrt((z**2).mean()))[:, None]
    Q = np.linalg.qr(design.X * root[:, None])[0]
    Z = Z - Q @ (Q.T @ Z)
    found = np.linalg.eigvalsh(Z.T @ Z)
    return found[found > 1e-9 * found.max()]


OPTIONS = [
    {},
    {"balanced": False},
    {"weights": True},
    {"slope": True},
    {"balanced": False, "weights": True, "slope": True},
    {"levels": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_eigenvalues(options):
    example = design(**options)
    found = spectrum(core.suffstats(example))
    expected = dense_eigenvalues(example)
    np.testing.assert_allclose(np.repeat(found.values, found.counts.astype(int)), expected, rtol=1e-9)
    n, p = example.X.shape
    assert found.rest == n - p - len(expected)
    assert (np.diff(found.values) > 0).all()


def test_a_balanced_design_has_few_eigenvalues():
    """Whatever the number of levels, at most p + 1 and never a J x J matrix."""
    assert len(spectrum(core.suffstats(design(levels=20_000))).values) <= 4


CASES = {
    "one": Spectrum(np.array([5.0]), np.array([5.0]), np.array(24.0)),
    "many": Spectrum(np.geomspace(0.01, 80, 30), np.ones(30), np.array(60.0)),
    "some": Spectrum(np.array([0.01, 1.0, 50.0]), np.array([3.0, 4.0, 5.0]), np.array(7.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_supremum(case, x64):
    """Against a fine grid followed by a bounded search."""
    spectrum, rng = CASES[case], np.random.default_rng(2)
    mu, counts = spectrum.values, spectrum.counts
    dof = counts.sum() + spectrum.rest
    grid = np.arange(-np.log(mu.max()) - 14, -np.log(mu.min()) + 14, 0.5)
    ours = jax.jit(
        lambda chi2, rest: supremum(chi2, rest, jax.tree.map(jnp.asarray, spectrum), jnp.asarray(grid))
    )
    for _ in range(50):
        chi2, rest = rng.chisquare(counts), rng.chisquare(spectrum.rest)

        def value(x, chi2=chi2, rest=rest):
            share = mu / (np.exp(-x) + mu)
            D = rest + ((1 - share) * chi2).sum()
            return -dof * np.log(D / (rest + chi2.sum())) - (counts * np.log1p(np.exp(x) * mu)).sum()

        fine = np.linspace(grid[0], grid[-1], 2000)
        best = fine[np.argmax([value(x) for x in fine])]
        found = minimize_scalar(
            lambda x: -value(x), bounds=(best - 0.1, best + 0.1), method="bounded", options={"xatol": 1e-9}
        )
        np.testing.assert_allclose(ours(chi2, rest), max(0.0, -found.fun), rtol=1e-9, atol=1e-10)


def test_balanced_one_way_layout_is_the_f_test(x64):
    """With one eigenvalue the test is a function of F: P(RLRT > 0) = P(F > 1)."""
    draws = simulate_null(jax.random.key(5), CASES["one"], 20_000)
    assert np.isfinite(draws).all() and (draws >= 0).all()
    share = f.sf(1.0, 5, 24)
    assert abs((draws > 0).mean() - share) < 4 * np.sqrt(share * (1 - share) / len(draws))


@pytest.mark.slow
def test_the_distribution_is_that_of_fitted_statistics(x64):
    """Against statistics maximised over a fine grid for responses of an unbalanced, weighted design."""
    example = design(balanced=False, weights=True, slope=True)
    prepared = core.condition(example)
    plan = core.plan(prepared)
    thetas = jnp.concatenate([jnp.zeros(1), jnp.geomspace(0.003, 30, 300)])[:, None]

    def statistic(y):
        stats = core.assemble(prepared, plan, y, compress=False)
        criteria = jax.lax.map(lambda theta: core.criterion(theta, stats), thetas)
        return criteria[0] - criteria.min()

    y = np.random.default_rng(8).normal(size=(2000, len(example.y))) / np.sqrt(example.weights)
    fitted = np.asarray(jax.jit(jax.vmap(statistic))(jnp.asarray(y)))
    draws = simulate_null(jax.random.key(1), spectrum(core.suffstats(example)), 10_000)
    assert ks_2samp(fitted.clip(1e-3), draws.clip(1e-3)).pvalue > 0.01


@pytest.mark.slow
def test_draws_depend_on_the_key_alone(x64):
    """The first draws are the same however many are made, and other keys make others."""
    few, more = (simulate_null(jax.random.key(4), CASES["some"], n) for n in (100, 300))
    np.testing.assert_allclose(more[:100], few, rtol=1e-12)
    assert not np.allclose(simulate_null(jax.random.key(5), CASES["some"], 100), few)


def test_a_clear_effect_is_found(x64):
    rng = np.random.default_rng(3)
    example = design()
    y = 2 * rng.normal(size=8)[example.terms[0].codes] + rng.normal(size=len(example.y))
    stats = core.suffstats(design(y=y))
    theta = minimize_scalar(lambda x: float(core.criterion(np.array([x]), stats)), (0.5, 3)).x
    found = exact_rlrt(jax.random.key(0), np.array([theta]), stats, 500)
    assert found.statistic > 10 and found.p_value == 1 / (found.n + 1) and found.mc_error > 0
    null = exact_rlrt(jax.random.key(0), np.zeros(1), stats, 500)
    assert null.statistic == 0
    np.testing.assert_allclose(null.mc_error, np.sqrt(null.p_value * (1 - null.p_value) / 500))


def test_other_models_are_refused():
    example = design()
    term = core.RandomTerm(np.ones((48, 2)) * [[1, 2]] + np.eye(48)[:, :2], example.terms[0].codes, 8, (2,))
    stats = core.suffstats(core.Design(example.y, example.X, (term,)))
    with pytest.raises(ValueError, match="one grouping factor with one random effect a level"):
        spectrum(stats)
