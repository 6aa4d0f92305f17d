"""Constraints and profiles, parameter by parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import dense_oracle, random_design, with_slow_ones_marked
from scipy.optimize import brentq, minimize_scalar

from jaxmixed import core
from jaxmixed.core._constraint import deviance_of, parameters_of
from jaxmixed.frame._estimate import curvature, estimate, profile_points

SOME = with_slow_ones_marked(
    ["intercept", "few_patterns", "blocks_two_one", "three_by_three", "nested_two_slope", "crossed_two"]
)


def held_parameters(structure, seed=3):
    design = random_design(structure, seed, weights=True, offset=True)
    stats = core.compress(design)
    theta = estimate(stats, reml=False).theta
    return design, stats, theta, core.constraints(theta, stats, curvature(theta, stats))


@pytest.mark.parametrize("structure", SOME)
def test_held_at_its_estimate_every_parameter_gives_the_fit(structure):
    """The deviance and all other parameters are those of the fit, however the effects are reordered."""
    _, stats, theta, held = held_parameters(structure)
    fit = core.estimates(theta, stats, reml=False)
    parameters = core.variance_parameters(theta, stats, False, curvature(theta, stats))
    expected = np.concatenate([core.on_scale(parameters, stats.blocks, "sdcor").values, fit.beta])
    assert len(held) == len(expected)
    away = (np.abs(theta) < 0.05).any()  # where the start is moved off zero, it is not the fit
    for one in held:
        assert one.low <= one.estimate <= one.high
        if not away:
            np.testing.assert_allclose(
                deviance_of(one.start, one.estimate, one, stats), fit.criterion, rtol=1e-10
            )
            np.testing.assert_allclose(
                parameters_of(one.start, one.estimate, one, stats), expected, rtol=1e-7
            )


def test_a_parameter_stays_where_it_is_held():
    """Whatever the others are: sd and correlation of three correlated effects, sigma, a fixed effect."""
    _, stats, _, held = held_parameters("three_by_three")
    rng = np.random.default_rng(1)
    for i, one in enumerate(held):
        w = one.estimate + 0.3 * one.step
        x = one.start + 0.1 * rng.normal(size=len(one.start))
        found = parameters_of(x, w, one, stats)[i]
        if one.first.any():
            expected = w * stats.scale
        elif one.pair.any():
            expected = np.sin(w)
        elif one.is_sigma:
            expected = np.exp(w) * stats.scale
        else:
            expected = (
                parameters_of(one.start, one.estimate, one, stats)[i] + (w - one.estimate) * stats.scale
            )
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.slow
def test_derivatives_of_the_held_deviance(x64):
    """Gradient and Hessian, that the search relies on, against differences."""
    _, stats, _, held = held_parameters("few_patterns")
    derivatives = jax.jit(jax.grad(deviance_of)), jax.jit(jax.hessian(deviance_of))
    rng = np.random.default_rng(2)
    for one in held:
        x, w = one.start + 0.1 * rng.normal(size=len(one.start)), one.estimate + 0.2 * one.step
        gradient, hessian = (f(jnp.asarray(x), jnp.asarray(w), one, stats) for f in derivatives)
        step = 1e-5
        for i, e in enumerate(np.eye(len(x))):
            up, down = (deviance_of(x + s * step * e, w, one, stats) for s in (1, -1))
            np.testing.assert_allclose(gradient[i], (up - down) / (2 * step), rtol=1e-6, atol=1e-5)
            up, down = (derivatives[0](x + s * step * e, w, one, stats) for s in (1, -1))
            np.testing.assert_allclose(hessian[i], (up - down) / (2 * step), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_limits_against_a_search_of_the_dense_deviance():
    """A random intercept's sd and sigma: minimise the dense deviance over the rest, and find the root."""
    design, stats, theta, held = held_parameters("intercept", 4)
    lowest = float(core.estimates(theta, stats, False).criterion)
    points = profile_points(
        jax.tree.map(lambda *leaves: np.stack(leaves), *[held[i] for i in (0, 0, 1, 1)]),
        np.array([-1.5, 1.5, -1.5, 1.5]),
        lowest,
        stats,
    )
    assert (points.status == core.FOUND).all()
    found = points.values[[0, 1, 2, 3], [0, 0, 1, 1]]

    def deviance(sd, sigma):
        truth = dense_oracle(design, np.array([sd / sigma]), reml=False)
        ratio = (truth.sigma / sigma) ** 2
        return truth.criterion + len(design.y) * (ratio - 1 - np.log(ratio))

    sigma = float(core.estimates(theta, stats, False).sigma)
    sd = float(theta[0]) * sigma

    def rise(value, which):
        def at(other):
            return deviance(value, other) if which == "sd" else deviance(other, value)

        best = minimize_scalar(
            at,
            bounds=(0.3 * sigma, 3 * sigma) if which == "sd" else (0, 5 * sd),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return best.fun - lowest - 1.5**2

    for value, which, bracket in zip(
        found,
        ("sd", "sd", "sigma", "sigma"),
        ((1e-3 * sd, sd), (sd, 4 * sd), (0.4 * sigma, sigma), (sigma, 3 * sigma)),
        strict=True,
    ):
        np.testing.assert_allclose(value, brentq(rise, *bracket, args=(which,), xtol=1e-8), rtol=1e-5)


@pytest.mark.slow
def test_lanes_do_not_depend_on_one_another():
    """A lane gives the same alone as beside others."""
    _, stats, theta, held = held_parameters("few_patterns")
    lowest = float(core.estimates(theta, stats, False).criterion)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *held)
    targets = np.full(len(held), 1.2)
    together = profile_points(stacked, targets, lowest, stats)
    for i in (1, len(held) - 1):
        alone = profile_points(
            jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], stacked), targets[:1], lowest, stats
        )
        np.testing.assert_allclose(alone.values[0], together.values[i], rtol=1e-7)
