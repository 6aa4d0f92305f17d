"""Derivatives of whole fits in their data, against differences of refits by NumPy."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import lower_factors, random_design, random_theta

from jaxmixed import core

INPUTS = ("y", "X", "z", "weights", "offset")


@functools.cache
def compiled_fit():
    return jax.jit(core.fit, static_argnames="reml")


def path(design: core.Design, seed: int = 0):
    """Return the design as a function of five numbers, each of which moves one kind of data."""
    rng, n = np.random.default_rng(seed), len(design.y)
    dX = rng.normal(size=design.X.shape) * (np.ptp(design.X, axis=0) > 0)
    dz = [0.3 * rng.normal(size=term.z.shape) for term in design.terms]
    dy, d_log_w, d_offset = rng.normal(size=(3, n))
    weights = np.ones(n) if design.weights is None else design.weights
    offset = np.zeros(n) if design.offset is None else design.offset

    def at(t) -> core.Design:
        exp = np.exp if isinstance(t, np.ndarray) else jnp.exp
        terms = tuple(
            core.RandomTerm(term.z + t[2] * d, term.codes, term.n_levels, term.blocks)
            for term, d in zip(design.terms, dz, strict=True)
        )
        return core.Design(
            design.y + t[0] * dy,
            design.X + t[1] * dX,
            terms,
            weights * exp(t[3] * d_log_w),
            offset + t[4] * d_offset,
        )

    return at


def estimates(theta, criterion, design, stats) -> dict:
    """Return what a fit estimates; rows are predicted at fixed covariates, of known and new levels."""
    found = core.estimates(theta, stats)
    effects = core.ranef(theta, found.sigma, stats)
    new = tuple(
        core.RandomTerm(np.ones((4, term.z.shape[1])), np.array([0, 1, 1, -1]), term.n_levels, term.blocks)
        for term in design.terms
    )
    return {
        "theta": theta,
        "criterion": criterion,
        "beta": found.beta,
        "sigma": found.sigma,
        "vcov": core.vcov(theta, stats),
        "variances": core.psi(theta, found.sigma, stats),
        "modes": [effect.modes for effect in effects],
        "conditional covariances": [effect.covariances for effect in effects],
        "fitted": core.predict(theta, stats, design.X, design.terms, design.offset),
        "predicted": core.predict(theta, stats, np.ones((4, len(found.beta))), new),
    }


def inference(method: str, theta, stats) -> dict:
    """Return the tests of every coefficient, and of all but the intercept jointly."""
    xp = np if isinstance(theta, np.ndarray) else jnp
    reference = getattr(core, method)(theta, stats)
    single = reference.t_test(np.eye(stats.p))
    joint = reference.f_test(np.eye(stats.p)[1:])
    return {
        f"SE, {method}": single.std_error,
        f"df, {method}": single.df,
        f"log p, {method}": xp.log(single.p_value),
        f"joint, {method}": xp.stack([joint.statistic, joint.df_den, xp.log(joint.p_value)]),
    }


def outputs(theta, criterion, design, stats) -> dict:
    """Return everything a fit leads to."""
    methods = [inference(method, theta, stats) for method in ("satterthwaite", "kenward_roger")]
    return estimates(theta, criterion, design, stats) | methods[0] | methods[1]


def traced(at, start, outputs=outputs):
    """Return the outputs as a function of the data's path, in JAX throughout, from a search that is done."""

    def function(t):
        design = at(t)
        stats = core.suffstats(design)
        found = core.fit(stats, theta=start)
        return outputs(found.theta, found.criterion, design, stats)

    return function


def refitted(at, outputs=outputs):
    """Return the same with the fit alone in JAX, run to the last digit, and the rest in NumPy."""
    start = None

    def function(t):
        nonlocal start
        design = at(np.asarray(t))
        stats = core.suffstats(design)
        for _ in range(3):  # a search that starts at the minimum ends one more Newton step on
            found = compiled_fit()(stats, theta=start)
            start = np.asarray(found.theta)
        return outputs(start, np.asarray(core.criterion(start, stats)), design, stats)

    return function


def difference(function, direction, step: float, order: int = 1):
    """Return the first or second derivative at zero, by central differences of fourth order."""
    weights = {
        1: {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12},
        2: {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12},
    }[order]
    ends = [jax.tree.map(lambda a, w=w: w * a, function(k * step * direction)) for k, w in weights.items()]
    return jax.tree.map(lambda *a: np.asarray(sum(a)) / step**order, *ends)


def assert_close(found, truth, rtol: float, name: str) -> None:
    """Compare trees of derivatives, relative to the largest of each output."""
    for key in truth:
        for a, b in zip(jax.tree.leaves(found[key]), jax.tree.leaves(truth[key]), strict=True):
            atol = rtol * max(np.abs(b).max(), 1e-3)
            np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=f"{key} by {name}")


# Structure and seed of a fit away from zero variances, and of fits where some vanish or are collinear.
CASES = {
    "intercept": ("intercept", 3),
    "slope": ("few_patterns", 0),
    "nested": ("nested_two", 1),
    "crossed": ("crossed_two", 3),
    "no variance": ("intercept", 34),
    "perfect correlation": ("few_patterns", 2),
    "no inner variance": ("nested_two", 0),
    "no outer variance": ("nested_two", 2),
    "one of two crossed": ("crossed_two", 0),
}
INTERIOR = ("intercept", "slope", "nested", "crossed")


@functools.cache
def case(name: str):
    structure, seed = CASES[name]
    design = random_design(structure, seed, weights=True, offset=True)
    with jax.enable_x64(True):
        theta = np.asarray(compiled_fit()(core.suffstats(design)).theta)
    assert (theta != 0).all() == (name in INTERIOR)
    return design


def both_modes():
    """Reverse mode for every case, and forward mode."""
    pairs = [(name, "jacrev") for name in CASES] + [
        (name, "jacfwd") for name in ("slope", "one of two crossed")
    ]
    return [pytest.param(*p, marks=[] if p == ("intercept", "jacrev") else [pytest.mark.slow]) for p in pairs]


@pytest.mark.parametrize(("name", "mode"), both_modes())
def test_every_output_by_every_input(name, mode, x64):
    """Relative 1e-6."""
    at = path(case(name))
    truth = refitted(at)
    jacobian = jax.jit(getattr(jax, mode)(traced(at, truth(np.zeros(5))["theta"])))(jnp.zeros(5))
    for i, name in enumerate(INPUTS):
        with np.errstate(invalid="ignore"):  # degrees of freedom are infinite where no variance is left
            expected = jax.tree.map(np.nan_to_num, difference(truth, np.eye(5)[i], 3e-4))
        assert_close(jax.tree.map(lambda a, i=i: a[..., i], jacobian), expected, 1e-6, name)


def with_satterthwaite(theta, criterion, design, stats) -> dict:
    return inference("satterthwaite", theta, stats)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("slope", estimates),
        ("perfect correlation", estimates),
        ("no outer variance", estimates),
        ("crossed", estimates),
        ("intercept", with_satterthwaite),
    ],
)
def test_second_derivatives(name, outputs, x64):
    """Along one direction of all data: relative 1e-4."""
    at, direction = path(case(name)), np.array([1.0, 0.3, 0.5, 0.4, 0.7])
    start = refitted(at, estimates)(0 * direction)["theta"]
    function = traced(at, start, outputs)
    step = 3e-4 if np.abs(start).max() < 0.1 else 1e-2
    expected = difference(refitted(at, outputs), direction, step, order=2)
    found = jax.jit(jax.jacfwd(jax.jacfwd(lambda t: function(t * direction))))(0.0)
    assert_close(found, expected, 1e-4, "all")


@pytest.mark.parametrize("structure", ["few_patterns", "crossed_two"])
def test_at_a_known_theta_estimates_are_generalised_least_squares(structure, x64):
    """d beta / d y = (X'V^-1X)^-1 X'V^-1."""
    design = random_design(structure, 5, weights=True)
    theta = random_theta(design, 5)
    V = np.diag(1 / design.weights)
    for term, L in zip(design.terms, lower_factors(design, theta), strict=True):
        V = V + (term.codes[:, None] == term.codes) * (term.z @ L @ L.T @ term.z.T)
    half = np.linalg.solve(V, design.X).T

    def beta(y):
        return core.estimates(theta, core.suffstats(eqx.tree_at(lambda d: d.y, design, y))).beta

    found = jax.jit(jax.jacrev(beta))(jnp.asarray(design.y))
    np.testing.assert_allclose(found, np.linalg.solve(half @ design.X, half), rtol=1e-9, atol=1e-12)


def test_the_criterion_at_its_minimum_needs_no_derivative_of_theta(x64):
    """The envelope theorem: it is that at a theta-hat held fixed; what is said of the search is constant."""
    stats = core.compress(random_design("few_patterns", 0))
    moved = jax.tree.map(lambda a: a * (np.arange(a.size) % 3 - 1.0).reshape(a.shape), stats)

    @jax.jit
    def derivatives(stats, moved):
        found, tangent = jax.jvp(core.fit, (stats,), (moved,))
        envelope = jax.jvp(lambda s: core.criterion(found.theta, s), (stats,), (moved,))[1]
        return tangent, envelope

    tangent, envelope = derivatives(stats, moved)
    np.testing.assert_allclose(tangent.criterion, envelope, rtol=1e-8)
    assert not tangent.gradient.any() and not tangent.hessian.any() and tangent.decrement == 0


@pytest.mark.parametrize("second", ["twice the first", "nothing"])
def test_covariates_that_depend_on_others(second, x64):
    """They are only scaled, and so the derivatives of their orthogonalisation are finite."""
    design = random_design("few_patterns", 0)
    (term,) = design.terms
    z = term.z * np.array([1, 0]) if second == "nothing" else term.z[:, :1] * np.array([1.0, 2.0])

    def value(z):
        terms = (core.RandomTerm(z, term.codes, term.n_levels, term.blocks),)
        stats = core.suffstats(core.Design(design.y, design.X, terms))
        return core.criterion(np.array([0.5, 0.2, 0.3]), stats)

    slope = jax.jit(jax.grad(value))(jnp.asarray(z))
    direction = (
        np.array([1.0, 0.0] if second == "nothing" else [1.0, 2.0]) * np.sin(np.arange(len(z)))[:, None]
    )
    ends = [value(z + step * direction) for step in (1e-5, -1e-5)]
    np.testing.assert_allclose((slope * direction).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-7)
