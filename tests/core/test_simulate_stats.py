"""Statistics drawn directly have the distribution of those of rows.

Given the chi-square draws, all that is linear in the response is linear in the normal draws: its covariance
is compared with dense algebra to rounding. Quadratic forms are compared by their moments, and everything,
fits included, with row-by-row replicates by Kolmogorov-Smirnov tests.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from helpers import lower_factors, random_design, random_theta

from jaxmixed import core
from jaxmixed.core._chi_square import chi_square
from jaxmixed.core._criterion import reduce
from jaxmixed.core._nested import Nested, NestedPatterns
from jaxmixed.core._one_factor import OneFactor, Patterns
from jaxmixed.core._simulate_stats import degrees, draw, from_draws, n_normals, sampler, simulate_stats
from jaxmixed.core._strata import Strata

LEVEL = 1e-3  # family-wise, for all tests of one structure together (Bonferroni)
SIGMA = 0.8


# --- designs ---------------------------------------------------------------------------------------------


def _finish(rng, terms, *, p=2, weights=None, X=None):
    n = len(terms[0].codes)
    if X is None:
        X = np.column_stack([np.ones(n), rng.normal(size=(n, p - 1))])
    return core.Design(rng.normal(size=n), X, terms, weights, rng.normal(size=n))


def longitudinal(rng):
    """One pattern, and the same fixed effects in every level: all but one coordinate is Wishart."""
    z = np.tile(np.column_stack([np.ones(5), np.arange(5.0)]), (12, 1))
    term = core.RandomTerm(z, np.repeat(np.arange(12), 5), 12, (2,))
    return _finish(rng, (term,), X=z)


def repeated(rng):
    """Patterns with fewer levels than q p, with one more, with many, and with a single row; weighted."""
    counts, rows = (1, 3, 7, 40), (3, 4, 3, 1)
    history = [np.column_stack([np.ones(m), rng.normal(size=m)]) for m in rows]
    weight = [rng.uniform(0.3, 3.0, size=m) for m in rows]
    which = np.repeat(np.arange(4), counts)
    codes = np.concatenate([np.full(rows[u], j) for j, u in enumerate(which)])
    term = core.RandomTerm(np.vstack([history[u] for u in which]), codes, len(which), (2,))
    return _finish(rng, (term,), p=3, weights=np.concatenate([weight[u] for u in which]))


def sizes(rng, p=2):
    """A random intercept in groups of one to four rows."""
    codes = np.repeat(np.arange(60), rng.integers(1, 5, size=60))
    return _finish(rng, (core.RandomTerm(np.ones((len(codes), 1)), codes, 60, (1,)),), p=p)


def families(rng):
    """Schools with classes: many alike, a few alike, one like no other."""
    shapes = 16 * [(2, 2)] + 3 * [(3, 1)] + [(4,)]
    school = np.concatenate([np.full(sum(s), j) for j, s in enumerate(shapes)])
    rows_of = np.concatenate(shapes)
    klass = np.repeat(np.arange(len(rows_of)), rows_of)
    ones = np.ones((len(school), 1))
    terms = core.RandomTerm(ones, school, len(shapes), (1,)), core.RandomTerm(ones, klass, len(rows_of), (1,))
    return _finish(rng, terms)


def balanced(rng):
    """Two factors that meet within a class, every level as often: three strata."""
    own, other, within, _ = (axis.ravel() for axis in np.indices((3, 5, 4, 2)))
    ones = np.ones((len(own), 1))
    codes = own * 5 + other, own * 4 + within
    return _finish(rng, tuple(core.RandomTerm(ones, c, c.max() + 1, (1,)) for c in codes))


OWN = {
    "balanced": balanced,
    "longitudinal": longitudinal,
    "repeated": repeated,
    "sizes": sizes,
    "sizes_one_effect": functools.partial(sizes, p=1),
    "families": families,
}


def make(name: str, zero: str = ""):
    """Return a design and theta, of which the first or all elements may be zero."""
    if name in OWN:
        design = OWN[name](np.random.default_rng([5, *name.encode()]))
    else:
        design = random_design(name, 1, weights=True, offset=True)
    theta = random_theta(design, 2)
    theta[: {"": 0, "first": 1, "all": len(theta)}[zero]] = 0
    return design, theta, np.arange(1.0, design.X.shape[1] + 1)


QUICK = [
    ("repeated", True, "first", Patterns),
    ("families", True, "", NestedPatterns),
    ("balanced", True, "", Strata),
]
OTHERS = [
    ("longitudinal", True, "", Patterns),
    ("sizes_one_effect", True, "", Patterns),
    ("blocks_two_one", False, "", OneFactor),
    ("mostly_one_row_groups", True, "first", OneFactor),
    ("nested_two_slope", False, "first", Nested),
    ("repeated", True, "", Patterns),
    ("repeated", True, "all", Patterns),
    ("repeated", False, "", OneFactor),
    ("sizes", True, "", Patterns),
    ("one_row_groups", True, "", OneFactor),
    ("families", False, "", Nested),
    ("families", True, "all", NestedPatterns),
    ("balanced", True, "first", Strata),
    ("nested_three", False, "", Nested),
    ("nested_three", True, "", NestedPatterns),
    ("nested_unequal", True, "", Nested),
]

ONE_OF_EACH = QUICK + OTHERS[:5]


def _id(case):
    name, compress, zero, _ = case
    return "-".join([name, "compressed" if compress else "levels", *([f"{zero}_zero"] if zero else [])])


def cases(first, others):
    slow = [pytest.param(*c, id=_id(c), marks=pytest.mark.slow) for c in others]
    return [pytest.param(*c, id=_id(c)) for c in first] + slow


def statistics(design, compress):
    return core.compress(design) if compress else core.suffstats(design)


# --- what is compared ------------------------------------------------------------------------------------


def probes(theta):
    """Three values of theta at which the random effects are eliminated."""
    return [np.full_like(theta, 0.2), np.full_like(theta, 0.9), theta + 0.5]


def features(stats, theta):
    """Return what is linear and what is quadratic in the response, in units of y."""
    schur = jnp.stack([reduce(t, stats).schur for t in probes(theta)])
    linear = [stats.gamma_ols, stats.scale * schur[:, :-1, -1].reshape(-1)]
    quadratic = [stats.scale**2 * stats.C[-1:, -1], stats.scale**2 * schur[:, -1, -1]]
    structure = stats.structure
    if isinstance(structure, Patterns):
        linear.append(stats.scale * structure.G[..., :-1, -1].reshape(-1))
        quadratic.append(stats.scale**2 * structure.G[..., -1, -1].reshape(-1))
    elif isinstance(structure, OneFactor):
        linear.append(stats.scale * structure.B[:, :, -1].reshape(-1))
    elif isinstance(structure, Nested):
        linear.extend(stats.scale * row[:, :, -1].reshape(-1) for row in structure.rows)
    return jnp.concatenate(linear), jnp.concatenate(quadratic)


def covariance(design, theta):
    """Return V relative to sigma^2, rows weighted."""
    w = np.ones(len(design.y)) if design.weights is None else design.weights
    V = np.eye(len(w))
    for term, factor in zip(design.terms, lower_factors(design, theta), strict=True):
        half = np.sqrt(w)[:, None] * term.z @ factor
        V += (half @ half.T) * (term.codes[:, None] == term.codes[None, :])
    return V


def forms(design, theta, stats):
    """Return the rows L and the matrices M such that features are L y and y'M y, rows weighted."""
    root = np.ones(len(design.y)) if design.weights is None else np.sqrt(design.weights)
    Q = np.linalg.solve(np.asarray(stats.R).T, (root[:, None] * design.X).T).T
    off = np.eye(len(Q)) - Q @ Q.T
    inverses = [np.linalg.inv(covariance(design, t)) for t in probes(theta)]
    linear = [Q.T, *(Q.T @ V @ off for V in inverses)]
    quadratic = [off, *(off @ V @ off for V in inverses)]
    structure = stats.structure
    z = [
        np.linalg.solve(T.T, (root[:, None] * term.z).T)
        for term, T in zip(design.terms, stats.T, strict=True)
    ]
    if isinstance(structure, OneFactor):
        rows = _by_slot(z[0], design.terms[0].codes, len(structure.B))
        linear.append(rows.reshape(-1, len(Q)) @ off)
    elif isinstance(structure, Nested):
        for t, row, slots in zip(structure.order, structure.rows, structure.slots, strict=True):
            rows = _by_slot(z[t], slots[design.terms[t].codes], len(row))
            linear.append(rows.reshape(-1, len(Q)) @ off)
    elif isinstance(structure, Patterns):
        rows = _by_slot(z[0], design.terms[0].codes, design.terms[0].n_levels)
        A = np.einsum("jan,jbn->jab", rows, rows)
        alike = np.isclose(structure.A[:, None], A[None], rtol=1e-9, atol=1e-9).all((2, 3))
        levels = [np.flatnonzero(a) if m else [] for a, m in zip(alike, structure.counts, strict=True)]
        for of in levels:
            cross = np.einsum("jan,nc,jbm->abcm", rows[of], Q, rows[of] @ off)
            linear.append(cross.reshape(-1, len(Q)))
        for of in levels:
            products = rows[of] @ off
            squares = np.einsum("jan,jbm->abnm", products, products).reshape(-1, len(Q), len(Q))
            quadratic.extend((squares + squares.swapaxes(1, 2)) / 2)
    return np.concatenate(linear), np.stack(quadratic)


def _by_slot(z, slots, size):
    return z[None] * (slots == np.arange(size)[:, None])[:, None, :]


# --- tests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "compress", "zero", "kind"), cases(QUICK, OTHERS))
def test_linear_statistics_have_the_covariance_of_dense_algebra(name, compress, zero, kind, x64):
    """To rounding: the derivative in the normal draws is a root of the covariance."""
    design, theta, beta = make(name, zero)
    stats = statistics(design, compress)
    assert isinstance(stats.structure, kind)

    @jax.jit
    def linear(normals, chi2, beta):
        model = sampler(theta, beta, SIGMA, stats)
        return features(from_draws(model, normals, chi2), theta)[0], degrees(model)

    empty = sampler_shapes(theta, beta, stats)
    chi2 = jnp.full(empty[1], 1.3)
    root, dof = jax.jit(jax.jacfwd(linear, has_aux=True))(jnp.ones(empty[0]), chi2, beta)
    L, _ = forms(design, theta, stats)
    truth = SIGMA**2 * L @ covariance(design, theta) @ L.T
    np.testing.assert_allclose(root @ root.T, truth, atol=1e-10 * np.abs(truth).max())
    mean, _ = linear(jnp.zeros(empty[0]), chi2, beta)
    expected = np.concatenate([stats.R @ beta, np.zeros(len(L) - len(beta))])
    np.testing.assert_allclose(mean, expected, atol=1e-10)
    assert float(dof[-1]) == len(design.y) - _rank(design)
    np.testing.assert_array_equal(dof, np.round(dof))


def sampler_shapes(theta, beta, stats):
    """Return how many normal and chi-square draws a replicate takes."""
    model = jax.eval_shape(lambda: sampler(theta, beta, SIGMA, stats))
    return n_normals(model), jax.eval_shape(degrees, model).shape


def _rank(design):
    Z = [_by_slot(t.z.T, t.codes, t.n_levels).reshape(-1, len(design.y)) for t in design.terms]
    return np.linalg.matrix_rank(np.concatenate([design.X.T, *Z]))


N = 8_000


@pytest.mark.parametrize(("name", "compress", "zero", "kind"), cases([], ONE_OF_EACH))
def test_moments(name, compress, zero, kind, x64):
    """Means and covariances of all statistics, each entry within six standard errors."""
    design, theta, beta = make(name, zero)
    stats = statistics(design, compress)
    L, M = forms(design, theta, stats)
    linear, quadratic = drawn(theta, beta, stats)
    V = SIGMA**2 * covariance(design, theta)
    MV = M @ V
    sd = np.sqrt(np.einsum("ab,ab->a", L @ V, L))
    mean, var = np.einsum("aii->a", MV), 2 * np.einsum("aij,bji->ab", MV, MV)
    linear = linear - np.concatenate([stats.R @ beta, np.zeros(len(L) - len(beta))])
    both = np.concatenate([linear, quadratic - mean], axis=1)
    scale = np.concatenate([sd, np.sqrt(np.diag(var))])
    live = scale > 1e-8 * scale.max()
    np.testing.assert_allclose(both[:, ~live], 0, atol=1e-6 * scale.max())
    both = both[:, live] / scale[live]
    cov = np.zeros((len(scale), len(scale)))
    cov[: len(L), : len(L)], cov[len(L) :, len(L) :] = L @ V @ L.T, var
    cov = (cov / np.outer(scale, scale).clip(1e-300))[np.ix_(live, live)]
    assert np.abs(both.mean(0)).max() < 6 / np.sqrt(N)
    products = np.einsum("na,nb->nab", both[:, :40], both[:, -40:]).reshape(N, -1)
    error = (products.mean(0) - cov[:40, -40:].reshape(-1)) / products.std(0)
    assert np.abs(error).max() < 6 / np.sqrt(N)


def drawn(theta, beta, stats, n=N):
    """Return the features of many draws."""

    @jax.jit
    def many(keys):
        model = sampler(theta, beta, SIGMA, stats)
        return jax.vmap(lambda key: features(draw(key, model), theta))(keys)

    return tuple(np.asarray(a) for a in many(jax.random.split(jax.random.key(7), n)))


@pytest.mark.parametrize(("name", "compress", "zero", "kind"), cases([], ONE_OF_EACH[:4]))
def test_draws_and_rows_agree(name, compress, zero, kind, x64):
    """Kolmogorov-Smirnov: statistics, fits, and random projections of both, at family-wise level 0.001."""
    design, theta, beta = make(name, zero)
    n = 600
    prepared = core.condition(design)
    plan = core.plan(prepared)
    template = statistics(design, compress)

    def summary(stats):
        fit = core.fit(stats)
        found = core.estimates(fit.theta, stats)
        values = [*features(stats, theta), fit.theta, found.beta, found.sigma[None], found.criterion[None]]
        return jnp.concatenate(values)

    @jax.jit
    def direct(keys):
        model = sampler(theta, beta, SIGMA, template)
        return jax.vmap(lambda key: summary(draw(key, model)))(keys)

    by_summary = jax.jit(jax.vmap(summary))
    responses = jax.jit(jax.vmap(lambda key: core.simulate(key, design, theta, beta, SIGMA)))
    y = np.asarray(responses(jax.random.split(jax.random.key(1), n)))
    each = [core.assemble(prepared, plan, row, compress=compress) for row in y]
    rows = np.asarray(by_summary(jax.tree.map(lambda *a: np.stack(a), *each)))
    drawn = np.asarray(direct(jax.random.split(jax.random.key(2), n)))
    assert np.isfinite(drawn).all() and np.isfinite(rows).all()
    spread = rows.std(0)
    live = spread > 1e-8 * spread.max()
    centre = rows[:, live].mean(0)
    rows, drawn = ((a[:, live] - centre) / spread[live] for a in (rows, drawn))
    directions = np.random.default_rng(0).normal(size=(rows.shape[1], 30))
    p_values = [scipy.stats.ks_2samp(a, b).pvalue for a, b in zip(rows.T, drawn.T, strict=True)]
    for a, b in (
        (rows @ directions, drawn @ directions),
        ((rows @ directions) ** 2, (drawn @ directions) ** 2),
    ):
        p_values += [scipy.stats.ks_2samp(x, y).pvalue for x, y in zip(a.T, b.T, strict=True)]
    assert min(p_values) > LEVEL / len(p_values)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_chi_square(precision, x64):
    """Few and many degrees of freedom, at family-wise level 0.001."""
    dof = jnp.asarray([0, 1, 2, 3, 4, 9, 100, 1e6], precision)
    keys = jax.random.split(jax.random.key(4), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: chi_square(key, dof)))(keys))
    assert draws.dtype == precision
    assert (draws[:, 0] == 0).all()
    for nu, column in zip(np.asarray(dof)[1:], draws.T[1:], strict=True):
        assert scipy.stats.kstest(column.astype(float), scipy.stats.chi2(nu).cdf).pvalue > LEVEL / 7
    corr = np.corrcoef(draws[:, 1:].T) - np.eye(7)
    assert np.abs(corr).max() < 6 / np.sqrt(len(keys))


@functools.cache
def compiled():
    return jax.jit(simulate_stats)


def test_the_key_decides_and_nothing_else():
    """Alone and among others a key gives one draw, of the shapes and dtype of the statistics."""
    design, theta, beta = make("sizes")
    stats = jax.tree.map(lambda a: np.asarray(a, np.float32), statistics(design, True))
    keys = jax.random.split(jax.random.key(3), 50)
    one = compiled()(keys[7], theta, beta, SIGMA, stats)
    twice = compiled()(keys[7], theta, beta, 2 * SIGMA, stats)
    many = jax.jit(jax.vmap(simulate_stats, in_axes=(0, *4 * (None,))))(keys, theta, beta, SIGMA, stats)
    for together, alone, given in zip(*map(jax.tree.leaves, (many, one, stats)), strict=True):
        np.testing.assert_allclose(together[7], alone, rtol=1e-4, atol=1e-4)
        assert alone.shape == np.shape(given) and alone.dtype == np.float32
    assert len(np.unique(many.scale)) == len(keys)
    np.testing.assert_allclose(twice.scale, 2 * one.scale, rtol=1e-6)
    np.testing.assert_array_equal(twice.structure.G, one.structure.G)
    assert np.isfinite(core.criterion(theta.astype(np.float32), one))


def test_what_cannot_be_drawn():
    design = random_design("crossed_two", 1)
    with pytest.raises(
        ValueError, match=r"statistics of crossed factors cannot be drawn directly; draw rows"
    ):
        simulate_stats(jax.random.key(0), random_theta(design, 1), np.ones(3), 1.0, core.suffstats(design))
    design, theta, beta = make("families")
    with pytest.raises(ValueError, match="make their sampler outside of jit"):
        compiled()(jax.random.key(0), theta, beta, 1.0, statistics(design, True))
