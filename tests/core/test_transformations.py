"""Every function of the functional interface under every transformation, in either precision."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_design

from jaxmixed import core

DESIGN = random_design("intercept", 3)
SLOPE = random_design("few_patterns", 0)
THETA, BETA, SIGMA = np.array([0.7]), np.array([0.3, -1.0, 0.8]), 1.2


def statistics(t, design=DESIGN):
    """Return the statistics of data that move with t."""
    rng = np.random.default_rng(1)
    dy, dX = rng.normal(size=len(design.y)), rng.normal(size=design.X.shape) * [0, 1, 1]
    dy, dX, y, X, *z = (jnp.asarray(a, t.dtype) for a in (dy, dX, design.y, design.X, design.terms[0].z))
    (term,) = design.terms
    term = core.RandomTerm(z[0], term.codes, term.n_levels, term.blocks)
    return core.suffstats(core.Design(y + t[0] * dy, X + t[1] * dX, (term,)))


def theta(t):
    return jnp.asarray(THETA, t.dtype) * (1 + t[:1])


def suffstats(t):
    stats = statistics(t)
    return (stats.structure.B**2).sum() + stats.gamma_ols.sum() + stats.scale


def loglik(t):
    psi = core.psi(theta(t), 1 + t[1], statistics(t))
    return core.loglik(jnp.asarray(BETA, t.dtype) + t[0], psi, statistics(t))


def fit(t):
    found = core.fit(statistics(t))
    return found.theta.sum() + found.criterion


def ranef(t):
    (effects,) = core.ranef(theta(t), 1 + t[1], statistics(t))
    return (effects.modes**2).sum() + effects.covariances.sum()


def predict(t):
    stats, (term,) = statistics(t), DESIGN.terms
    return (core.predict(theta(t), stats, jnp.asarray(DESIGN.X, t.dtype), (term,)) ** 2).sum()


def simulate_stats(t):
    beta = jnp.asarray(BETA, t.dtype) + t[0]
    drawn = core.simulate_stats(jax.random.key(1), theta(t), beta, 1 + t[1], statistics(0 * t))
    return core.criterion(theta(t), drawn)


FUNCTIONS = {
    "suffstats": suffstats,
    "criterion": lambda t: core.criterion(theta(t), statistics(t)),
    "loglik": loglik,
    "fit": fit,
    "vcov": lambda t: jnp.trace(core.vcov(theta(t), statistics(t))),
    "satterthwaite": lambda t: core.satterthwaite(theta(t), statistics(t)).t_test(np.eye(3)).df[1],
    "kenward_roger": lambda t: core.kenward_roger(theta(t), statistics(t)).t_test(np.eye(3)).df[1],
    "ranef": ranef,
    "predict": predict,
    "simulate_stats": simulate_stats,
}


def sharded(function):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("lanes",))
    spec = jax.sharding.PartitionSpec("lanes")
    return jax.shard_map(jax.vmap(function), mesh=mesh, in_specs=spec, out_specs=spec)


TRANSFORMED = {
    "vmap": jax.vmap,
    "scan": lambda f: lambda ts: jax.lax.scan(lambda carry, t: (carry, f(t)), 0, ts)[1],
    "shard_map": sharded,
    "vmap of grad": lambda f: jax.vmap(jax.grad(f)),
    "grad of vmap": lambda f: jax.grad(lambda ts: jax.vmap(f)(ts).sum()),
    "jacfwd": lambda f: lambda ts: jax.lax.map(jax.jacfwd(f), ts),
    "jacrev of checkpoint": lambda f: lambda ts: jax.lax.map(jax.jacrev(jax.checkpoint(f)), ts),
    "hessian": lambda f: lambda ts: jax.lax.map(jax.hessian(f), ts),
}
VALUES = ("vmap", "scan", "shard_map")


@pytest.mark.parametrize(
    "name", [n if n == "criterion" else pytest.param(n, marks=pytest.mark.slow) for n in FUNCTIONS]
)
def test_transformations(name, x64):
    function, ts = FUNCTIONS[name], 0.1 * np.random.default_rng(2).normal(size=(2, 2))
    found = jax.jit(lambda ts: {key: of(function)(ts) for key, of in TRANSFORMED.items()})(jnp.asarray(ts))
    single = jax.jit(function)
    E = 1e-4 * np.eye(2)

    def slope(t, e):
        return (8 * (single(t + e) - single(t - e)) - (single(t + 2 * e) - single(t - 2 * e))) / (
            12 * e.max()
        )

    for i, t in enumerate(ts):
        value, gradient = single(t), np.array([slope(t, e) for e in E])
        curve = [[(slope(t + 10 * a, b) - slope(t - 10 * a, b)) / (20 * a.max()) for a in E] for b in E]
        for key, result in found.items():
            truth = value if key in VALUES else curve if key == "hessian" else gradient
            rtol = 1e-9 if key in VALUES else 1e-4 if key == "hessian" else 1e-6
            np.testing.assert_allclose(result[i], truth, rtol=0, atol=rtol * np.abs(truth).max(), err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_type_of_the_input_is_kept(name):
    """Single precision throughout, close to double."""
    function, t = jax.jit(jax.value_and_grad(FUNCTIONS[name])), np.array([0.1, -0.2])
    single = function(jnp.asarray(t, jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {jnp.dtype(jnp.float32)}
    if name == "simulate_stats":  # other random numbers
        return
    with jax.enable_x64(True):
        double = jax.tree.map(np.asarray, function(jnp.asarray(t)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * np.abs(b).max()), single, double
    )


def of_theta(stats, theta):
    """Return what depends on theta, degrees of freedom that are infinite at zero left out."""
    L, (term,) = np.eye(3), SLOPE.terms
    tests = core.satterthwaite(theta, stats).t_test(L), core.kenward_roger(theta, stats).t_test(L)
    return (
        core.criterion(theta, stats),
        core.loglik(BETA, core.psi(theta, SIGMA, stats), stats),
        core.vcov(theta, stats),
        [(test.estimate, test.std_error, test.p_value) for test in tests],
        core.ranef(theta, SIGMA, stats),
        core.predict(theta, stats, SLOPE.X, (term,)),
    )


@pytest.mark.slow
def test_derivatives_are_finite_at_zero(x64):
    """In theta and in the data, at theta = 0; those in theta vanish, everything being even in it."""
    zero = jnp.zeros(3)

    @jax.jit
    def derivatives():
        at_rest = statistics(jnp.zeros(2), SLOPE)
        by_theta = jax.jacrev(lambda theta: of_theta(at_rest, theta))(zero)
        return by_theta, jax.jacfwd(lambda t: of_theta(statistics(t, SLOPE), zero))(jnp.zeros(2))

    by_theta, by_data = derivatives()
    for leaf in jax.tree.leaves(by_theta):
        np.testing.assert_allclose(leaf, 0, atol=1e-10)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(by_data))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(by_data[:3]))


@pytest.mark.slow
def test_a_host_program_is_left_alone():
    """In single precision: no warning, the same random numbers, the same configuration."""
    code = """
import warnings; warnings.simplefilter("error")
import jax, jax.numpy as jnp, numpy as np
draw = lambda: (jax.random.normal(jax.random.key(3), (4,)), jax.random.uniform(jax.random.PRNGKey(1)))
before, config = draw(), jax.config.values.copy()
import jaxmixed as jm
from jaxmixed import core
group, ones = np.repeat(np.arange(4), 3), jnp.ones((12, 1))
y = jnp.asarray([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2])
design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
def p_value(y):
    stats = core.suffstats(core.Design(y, ones, design.terms))
    theta = core.fit(stats).theta
    return core.satterthwaite(theta, stats).t_test(np.eye(1)).p_value[0]
slope = jax.jit(jax.grad(p_value))(y)
assert slope.dtype == jnp.float32 and jnp.isfinite(slope).all()
jm.lmer("Yield ~ 1 + (1 | Batch)", jm.datasets.load("Dyestuff")).summary()
assert jax.config.values == config
assert all((a == b).all() and a.dtype == jnp.float32 for a, b in zip(before, draw()))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
