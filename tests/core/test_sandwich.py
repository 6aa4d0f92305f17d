"""Cluster-robust covariances against clubSandwich, and against the textbook's matrices of all rows."""

import functools
import warnings

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalog import Case, cases
from helpers import NESTED, ONE_FACTOR, dense_oracle, designs, lower_factors, random_design, random_theta
from scipy.stats import t as student

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.core import _sandwich_cr2

KINDS = ("CR0", "CR1", "CR2")
STRUCTURES = (*ONE_FACTOR, *NESTED)


@functools.cache
def fitted(case: Case) -> jm.LmerResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(case.formula, case.data(), weights=case.weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", cases(only=lambda c: "cluster_robust" in c.raw.get("extras", {})))
def test_reference(case, kind):
    if "cluster_robust" not in case.raw.get("extras", {}):
        pytest.skip("not asked of clubSandwich")
    truth = {name: np.array(value) for name, value in case.raw["extras"]["cluster_robust"][kind].items()}
    fit, tolerance = fitted(case), case.tolerance["suggested"]
    rel, df_rel = tolerance["vcov_rel"], tolerance["satterthwaite_df_rel"]
    robust = core.sandwich(fit.frame.design, fit.theta, kind)
    se = np.sqrt(np.diag(robust.vcov))
    t, df, unit = (
        robust.beta / se,
        core.sandwich_df(np.eye(len(se)), robust),
        np.outer(truth["se"], truth["se"]),
    )
    np.testing.assert_allclose(robust.vcov / unit, truth["vcov"] / unit, 0, rel)
    np.testing.assert_allclose(se, truth["se"], rel)
    np.testing.assert_allclose(t, truth["t"], rel, tolerance["beta_in_se"])
    np.testing.assert_allclose(df, truth["df_satterthwaite"], df_rel)
    # log p changes by up to 2 df times the relative change of t.
    np.testing.assert_allclose(2 * student.sf(np.abs(t), df), truth["p"], (2 * df * rel).max(), 1e-12)


def textbook(design, theta, kind, cluster, contrasts):
    """Return vcov and df from V, the hat matrix and A of all rows, the last block by block."""
    X, n = design.X, len(design.X)
    V = np.eye(n) if design.weights is None else np.diag(1 / design.weights)
    for term, factor in zip(design.terms, lower_factors(design, theta), strict=True):
        zL = term.z @ factor
        V += (zL @ zL.T) * (term.codes[:, None] == term.codes)
    weighted = np.linalg.solve(V, X)
    M = np.linalg.inv(X.T @ weighted)
    residual_maker = np.eye(n) - X @ M @ weighted.T
    y = design.y if design.offset is None else design.y - design.offset
    E = []
    for label in np.unique(cluster):
        j = np.flatnonzero(cluster == label)
        A = np.eye(len(j))
        if kind == "CR1":
            A *= np.sqrt(len(np.unique(cluster)) / (len(np.unique(cluster)) - 1))
        if kind == "CR2":
            D = np.linalg.cholesky(V[np.ix_(j, j)]).T
            values, vectors = np.linalg.eigh(D @ (V[np.ix_(j, j)] - X[j] @ M @ X[j].T) @ D.T)
            some = values > 1e-9 * values.max()
            A = D.T @ (vectors[:, some] / np.sqrt(values[some])) @ vectors[:, some].T @ D
        E.append(M @ X[j].T @ np.linalg.inv(V[np.ix_(j, j)]) @ A @ residual_maker[j])
    influence = np.stack(E) @ y
    half = contrasts @ np.stack(E) @ np.linalg.cholesky(V)
    df = [np.trace(h @ h.T) ** 2 / ((h @ h.T) ** 2).sum() for h in half.swapaxes(0, 1)]
    return influence.T @ influence, np.array(df)


def outermost(design):
    return min(design.terms, key=lambda term: term.n_levels).codes


def assert_matches(design, theta, kind, cluster=None, rtol=1e-8):
    robust = core.sandwich(design, theta, kind, cluster)
    contrasts = np.concatenate([np.eye(3), [[1.0, -2.0, 0.5]]])
    vcov, df = textbook(design, theta, kind, outermost(design) if cluster is None else cluster, contrasts)
    unit = np.sqrt(np.outer(np.diag(vcov), np.diag(vcov)))
    np.testing.assert_allclose(robust.beta, dense_oracle(design, theta).beta, rtol, 1e-9)
    np.testing.assert_allclose(robust.vcov / unit, vcov / unit, 0, rtol)
    np.testing.assert_allclose(core.sandwich_df(contrasts, robust), df, rtol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure(structure, weights, kind):
    design = random_design(structure, 3, weights=weights, offset=weights)
    assert_matches(design, random_theta(design, 3), kind)
    assert_matches(design, 0 * random_theta(design, 3), kind)


@hypothesis.given(designs(STRUCTURES), st.integers(0, 1000), st.sampled_from(KINDS))
def test_random_designs(design, seed, kind):
    assert_matches(design, random_theta(design, seed), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
def test_clusters_of_many_rows(weights, kind):
    """Two random effects and three coefficients decide; without weights the other rows are rotated away."""
    rng = np.random.default_rng(8)
    codes = rng.permutation(np.repeat(np.arange(4), [30, 50, 50, 80]))
    X = np.column_stack([np.ones(210), rng.normal(size=(210, 2))])
    term = core.RandomTerm(X[:, :2], codes, 4, (2,))
    w = rng.uniform(0.2, 5.0, size=210) if weights else None
    assert_matches(core.Design(rng.normal(size=210), X, (term,), w), np.array([2.0, 0.5, 1.0]), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_above_the_grouping_factors(kind):
    """Factors may be crossed within clusters, and clusters need not be a factor of the model."""
    rng = np.random.default_rng(9)
    cluster = np.repeat(np.arange(6), 20)
    a, b = (5 * cluster + rng.integers(5, size=120) for _ in range(2))
    ones, X = np.ones((120, 1)), np.column_stack([np.ones(120), rng.normal(size=(120, 2))])
    terms = tuple(
        core.RandomTerm(ones, np.unique(c, return_inverse=True)[1], len(np.unique(c)), (1,)) for c in (a, b)
    )
    design = core.Design(rng.normal(size=120), X, terms)
    assert_matches(design, np.array([0.9, 0.6]), kind, 10 - 3 * cluster)
    assert_matches(design, np.array([0.9, 0.6]), kind, cluster // 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("structure", ["intercept", "distinct_patterns", "nested_two"])
def test_a_cluster_with_a_column_of_its_own(structure, weights, kind):
    """B_j is singular. Unadjusted residuals know nothing of a contrast that depends on that cluster alone."""
    design = random_design(structure, 4, weights=weights)
    X = np.column_stack([design.X[:, :2], outermost(design) == 2])
    design = core.Design(design.y, X, design.terms, design.weights)
    theta = 3 * random_theta(design, 4)
    assert_matches(design, theta, kind, rtol=1e-6)
    if kind != "CR2":
        robust, vcov = core.sandwich(design, theta, kind), dense_oracle(design, theta).vcov_beta
        alone = np.linalg.solve(vcov, [0.0, 0.0, 1.0])
        np.testing.assert_allclose(alone @ robust.vcov @ alone / (alone @ vcov @ alone), 0, atol=1e-10)
        assert np.isnan(core.sandwich_df(alone[None], robust)).all()


@pytest.mark.parametrize("structure", ["six_by_six", "nested_two_slope"])
def test_unbiased_if_the_model_is_right(structure):
    """The expectation of CR2, sum_j own_j - shared_j shared_j', is M."""
    design = random_design(structure, 7, weights=True)
    theta = random_theta(design, 7)
    robust, truth = core.sandwich(design, theta, "CR2"), dense_oracle(design, theta)
    expected = (robust.own - robust.shared @ robust.shared.mT).sum(0)
    M = robust.R @ truth.vcov_beta @ robust.R.T / truth.sigma**2
    np.testing.assert_allclose(expected, M, 1e-9, 1e-12)


@hypothesis.given(designs(STRUCTURES), st.integers(0, 1000), st.sampled_from(KINDS))
def test_order_of_rows_and_names_of_clusters(design, seed, kind):
    theta = random_theta(design, seed)
    order = np.random.default_rng(seed).permutation(len(design.y))
    shuffled = jax.tree.map(lambda a: a[order], design)
    one, other = (
        core.sandwich(design, theta, kind),
        core.sandwich(shuffled, theta, kind, -7 * outermost(shuffled)),
    )
    np.testing.assert_allclose(one.vcov, other.vcov, 1e-9, 1e-12)
    np.testing.assert_allclose(core.sandwich_df(np.eye(3), one), core.sandwich_df(np.eye(3), other), 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_large_covariates_far_from_zero(kind):
    """A slope on x = 1e9 + 1e6 z has 1e-6 of the standard error of that on z, and the same df."""
    design = random_design("nested_two_slope", 2, weights=True)
    theta = random_theta(design, 2)
    far = core.Design(
        design.y, design.X * [1, 1e6, 1] + [0, 1e9, 0], design.terms, design.weights, design.offset
    )
    one, other = core.sandwich(design, theta, kind), core.sandwich(far, theta, kind)
    np.testing.assert_allclose(other.vcov[1:, 1:] * np.outer([1e6, 1], [1e6, 1]), one.vcov[1:, 1:], 1e-9)
    slopes = np.eye(3)[1:]
    np.testing.assert_allclose(core.sandwich_df(slopes, other), core.sandwich_df(slopes, one), 1e-9)


def test_jax_arrays_in_single_precision():
    design = random_design("few_patterns", 1, weights=True, offset=True)
    theta = random_theta(design, 1)
    single = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32 if a.dtype == float else None), design)
    for kind in KINDS:
        one, other = (
            core.sandwich(design, theta, kind),
            core.sandwich(single, jnp.asarray(theta, jnp.float32), kind),
        )
        np.testing.assert_allclose(other.vcov, one.vcov, 1e-4, 1e-5)
        np.testing.assert_allclose(core.sandwich_df(np.eye(3), other), core.sandwich_df(np.eye(3), one), 1e-4)


def test_batches(monkeypatch):
    """Clusters that are worked on one by one."""
    monkeypatch.setattr(_sandwich_cr2, "BATCH", 1)
    for structure in ("few_patterns", "nested_two_slope"):
        design = random_design(structure, 2)
        assert_matches(design, random_theta(design, 2), "CR2")


@pytest.mark.parametrize("kind", KINDS)
def test_no_fixed_effects(kind):
    design = random_design("intercept", 1)
    robust = core.sandwich(core.Design(design.y, design.X[:, :0], design.terms), np.ones(1), kind)
    assert robust.vcov.shape == (0, 0)


def test_errors():
    crossed, design = random_design("crossed_two", 1), random_design("nested_two", 1)
    theta = np.ones(2)
    with pytest.raises(ValueError, match="crossed"):
        core.sandwich(crossed, theta, "CR0")
    with pytest.raises(ValueError, match=r"terms\[1\] is in several clusters"):
        core.sandwich(crossed, theta, "CR0", crossed.terms[0].codes)
    with pytest.raises(ValueError, match=r"terms\[0\] is in several clusters"):
        core.sandwich(design, theta, "CR2", design.terms[1].codes)
    with pytest.raises(ValueError, match="Found 1 cluster"):
        core.sandwich(design, theta, "CR2", 0 * design.terms[0].codes)
    with pytest.raises(ValueError, match="rows"):
        core.sandwich(design, theta, "CR2", np.arange(3))
    with pytest.raises(ValueError, match="kind is 'HC3'"):
        core.sandwich(design, theta, "HC3")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at least one random term"):
        core.sandwich(core.Design(design.y, design.X, ()), theta[:0], "CR0")
