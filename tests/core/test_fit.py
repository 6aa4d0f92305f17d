"""Rungs three and four of the core: minima, transformations, dtypes and invariances."""

import functools
import subprocess
import sys

import equinox as eqx
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    STRUCTURES,
    dense_oracle,
    designs,
    random_design,
    random_theta,
    with_slow_ones_marked,
)

from jaxmixed import core

SOME = (
    "one_pattern_slope",
    pytest.param("nested_two_slope", marks=pytest.mark.slow),
    pytest.param("crossed_slopes", marks=pytest.mark.slow),
)


@functools.cache
def compiled_fit():
    return jax.jit(core.fit, static_argnames="reml")


def fit(design, reml=True):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, compiled_fit()(core.compress(design), reml=reml))


@pytest.mark.parametrize("structure", with_slow_ones_marked(STRUCTURES))
def test_the_minimum_is_stationary(structure):
    design = random_design(structure, 7)
    found = fit(design)
    assert found.result == 0, core.RESULTS[found.result]
    truth = dense_oracle(design, found.theta)
    np.testing.assert_allclose(found.criterion, truth.criterion, rtol=1e-10)
    assert np.abs(truth.gradient).max() < 1e-4
    for scale in (0.9, 1.1):
        assert (
            dense_oracle(design, scale * found.theta + (scale - 1) * 0.01).criterion > truth.criterion - 1e-9
        )


@pytest.mark.parametrize("structure", SOME)
def test_transformations(structure, x64):
    """jit, vmap, grad, vmap of grad, grad of vmap, hessian and scan agree with plain calls."""
    design = random_design(structure, 2)
    stats = jax.tree.map(jnp.asarray, core.suffstats(design))
    thetas = jnp.stack([jnp.asarray(random_theta(design, seed)) for seed in range(3)])
    criterion = functools.partial(core.criterion, stats=stats)
    plain = [core.criterion(np.asarray(t), core.suffstats(design)) for t in thetas]
    slopes = [dense_oracle(design, np.asarray(t)).gradient for t in thetas]
    transformed = {
        "vmap": jax.vmap(criterion),
        "scan": lambda t: jax.lax.scan(lambda carry, t: (carry, criterion(t)), 0.0, t)[1],
        "vmap of grad": jax.vmap(jax.grad(criterion)),
        "grad of vmap": jax.grad(lambda t: jax.vmap(criterion)(t).sum()),
        "vmap of jacfwd": jax.vmap(jax.jacfwd(criterion)),
        "grad of checkpoint": jax.vmap(jax.grad(jax.checkpoint(criterion))),
    }
    for name, function in transformed.items():
        truth = plain if name in ("vmap", "scan") else slopes
        found = jax.jit(function)(thetas)
        np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("structure", SOME)
def test_statistics_are_differentiable(structure, x64):
    """The criterion as a function of the data, against finite differences."""
    design = random_design(structure, 4, weights=True, offset=True)
    theta = random_theta(design, 4)

    def criterion(y, X, weights, z):
        terms = (eqx.tree_at(lambda t: t.z, design.terms[0], z), *design.terms[1:])
        return core.criterion(theta, core.suffstats(core.Design(y, X, terms, weights, design.offset)))

    data = tuple(map(jnp.asarray, (design.y, design.X, design.weights, design.terms[0].z)))
    slopes = jax.jit(jax.grad(criterion, argnums=(0, 1, 2, 3)))(*data)
    criterion = jax.jit(criterion)
    rng = np.random.default_rng(0)
    for position, slope in enumerate(slopes):
        direction = rng.normal(size=slope.shape)
        ends = []
        for sign in (1, -1):
            moved = list(data)
            moved[position] = moved[position] + sign * 1e-6 * direction
            ends.append(criterion(*moved))
        np.testing.assert_allclose(
            (slope * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("structure", SOME)
def test_vmapped_fits_equal_single_ones(structure, x64):
    design = random_design(structure, 9)
    rng = np.random.default_rng(1)
    responses = design.y + rng.normal(size=(4, len(design.y)))
    each = [core.compress(eqx.tree_at(lambda d: d.y, design, y)) for y in responses]
    together = jax.jit(jax.vmap(core.fit))(jax.tree.map(lambda *a: jnp.stack(a), *each))
    for i, stats in enumerate(each):
        alone = compiled_fit()(stats, reml=True)
        np.testing.assert_allclose(together.criterion[i], alone.criterion, rtol=1e-10)
        np.testing.assert_allclose(together.theta[i], alone.theta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("structure", SOME)
def test_single_precision(structure):
    """Estimates within a thousandth of a standard error of those in double precision."""
    design = random_design(structure, 8)
    double = fit(design)
    truth = core.estimates(double.theta, core.compress(design))
    single = jax.tree.map(
        lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, core.compress(design)
    )
    found = compiled_fit()(single, reml=True)
    assert found.theta.dtype == jnp.float32
    estimates = core.estimates(found.theta, jax.tree.map(jnp.asarray, single))
    assert estimates.beta.dtype == jnp.float32
    se = np.sqrt(np.diagonal(truth.vcov))
    np.testing.assert_allclose(estimates.beta / se, truth.beta / se, atol=1e-3)


@hypothesis.given(designs())
@hypothesis.settings(max_examples=15)
def test_the_order_of_rows_and_levels_does_not_matter(design):
    rng = np.random.default_rng(0)
    theta, rows = random_theta(design, 0), rng.permutation(len(design.y))
    terms = []
    for term in design.terms:
        relabel = rng.permutation(term.n_levels)
        terms.append(core.RandomTerm(term.z[rows], relabel[term.codes[rows]], term.n_levels, term.blocks))
    weights, offset = (None if a is None else a[rows] for a in (design.weights, design.offset))
    shuffled = core.Design(design.y[rows], design.X[rows], tuple(terms), weights, offset)
    one, other = (core.criterion(theta, core.compress(d)) for d in (design, shuffled))
    np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize("y_scale", [1e-8, 1e8])
def test_badly_scaled_covariates_and_responses(y_scale):
    """Covariates of size 1e6 about 1e9, fixed and random, give the t values of the rescaled problem."""
    rng = np.random.default_rng(3)
    codes, x = np.repeat(np.arange(15), 8), rng.normal(size=120)
    b = rng.normal(size=(15, 2)) * [1.0, 0.5]
    y = 1 + 0.3 * x + b[codes, 0] + b[codes, 1] * x + rng.normal(size=120)
    t_values = []
    for covariate, response in ((x, y), (1e9 + 1e6 * x, y_scale * y)):
        X = np.column_stack([np.ones(120), covariate])
        design = core.Design(response, X, (core.RandomTerm(X, codes, 15, (2,)),))
        found = fit(design)
        assert found.result == 0
        estimates = core.estimates(found.theta, core.compress(design))
        t_values.append(estimates.beta[1] / np.sqrt(estimates.vcov[1, 1]))
    np.testing.assert_allclose(t_values[0], t_values[1], rtol=1e-6)


def test_many_covariance_parameters():
    """Beyond twenty elements of theta the optimiser is L-BFGS; the answer is a minimum all the same."""
    rng = np.random.default_rng(5)
    J, m, q = 40, 14, 6
    codes = np.repeat(np.arange(J), m)
    z = np.column_stack([np.ones(J * m), rng.normal(size=(J * m, q - 1))])
    b = rng.normal(size=(J, q)) @ np.tril(rng.normal(size=(q, q)) / 2 + np.eye(q))
    y = (z * b[codes]).sum(1) + rng.normal(size=J * m)
    design = core.Design(y, z[:, :2], (core.RandomTerm(z, codes, J, (q,)),))
    found = fit(design)
    assert len(found.theta) == 21 and found.result == 0
    assert np.abs(dense_oracle(design, found.theta).gradient).max() < 1e-2


def test_compressed_statistics_do_not_hold_levels():
    design = random_design("one_pattern_slope", 1)
    stats = core.compress(design)
    assert len(stats.structure.A) == 1
    with pytest.raises(ValueError, match=r"use suffstats"):
        core.ranef(random_theta(design, 1), 1.0, stats)


def test_shapes_are_checked():
    ones, codes = np.ones((4, 1)), np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"blocks \(2,\) sum to 2, but z has 1"):
        core.RandomTerm(ones, codes, 2, (2,))
    with pytest.raises(ValueError, match=r"y has shape \(3,\), but X has 4 rows"):
        core.Design(np.ones(3), ones, ())
    with pytest.raises(ValueError, match=r"terms\[0\] has z of shape"):
        core.Design(np.ones(4), ones, (core.RandomTerm(ones[:3], codes[:3], 2, (1,)),))
    with pytest.raises(ValueError, match="at least one random term"):
        core.suffstats(core.Design(np.ones(4), ones, ()))


def test_importing_changes_nothing():
    code = (
        "import jax; before = jax.config.values.copy(); import jaxmixed; "
        "assert jax.config.values == before; "
        "from jax._src import xla_bridge; assert not xla_bridge._backends, 'a backend was started'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.6, 1.0, 10.0])
def test_small_and_large_variances(ratio, x64):
    """Every fit of many ends at a minimum, in a few steps, however small the variance."""
    rng = np.random.default_rng(11)
    codes, ones = np.repeat(np.arange(18), 10), np.ones((180, 1))
    each = []
    for _ in range(40):
        y = ratio * rng.normal(size=18)[codes] + rng.normal(size=180)
        each.append(core.compress(core.Design(y, ones, (core.RandomTerm(ones, codes, 18, (1,)),))))
    found = batched_fit()(jax.tree.map(lambda *a: jnp.stack(a), *each))
    np.testing.assert_array_equal(found.result, 0)
    assert found.steps.max() <= 25
    vanished = np.asarray(found.theta[:, 0]) == 0
    assert vanished.any() == (ratio < 0.5)


@functools.cache
def batched_fit():
    return jax.jit(jax.vmap(core.fit))
