"""The optimisers on functions whose minima are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmixed.core._descent import modified_inverse, modified_solution
from jaxmixed.core._lbfgs import lbfgs
from jaxmixed.core._newton import (
    CONVERGED,
    MAX_STEPS,
    NON_FINITE,
    newton,
)


def minimise(function, start, vanishing=jnp.zeros_like, **options):
    def evaluate(x):
        return function(x), jax.grad(function)(x), jax.hessian(function)(x)

    return newton(
        evaluate, jnp.asarray(start, float), tolerance=1e-10, vanishing=lambda x: vanishing(x) > 0, **options
    )


def rosenbrock(x):
    return 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum() + ((1 - x[:-1]) ** 2).sum()


def test_rosenbrock(x64):
    found = minimise(rosenbrock, [-1.2, 1.0])
    assert found.result == CONVERGED
    np.testing.assert_allclose(found.x, 1, rtol=1e-8)


def test_leaves_a_saddle(x64):
    found = minimise(lambda x: x[0] ** 2 + (x[1] ** 2 - 1) ** 2, [0.5, 1e-3])
    assert found.result == CONVERGED
    np.testing.assert_allclose(jnp.abs(found.x), [0, 1], atol=1e-7)


def test_a_flat_valley_is_a_minimum(x64):
    found = minimise(lambda x: (x[0] ** 2 + x[1] ** 2 - 4) ** 2, [1.0, 0.5])
    assert found.result == CONVERGED
    np.testing.assert_allclose(jnp.hypot(*found.x), 2, rtol=1e-7)


def test_zeros_are_exact_when_they_cost_nothing(x64):
    found = minimise(
        lambda x: (x[0] - 1) ** 2 + x[1] ** 2, [3.0, 2e-4], vanishing=lambda x: jnp.abs(x) < 1e-3
    )
    np.testing.assert_array_equal(found.x[1], 0)
    np.testing.assert_allclose(found.x[0], 1, rtol=1e-10)


def test_zeros_are_left_alone_when_they_cost_something(x64):
    target = jnp.array([1.0, 5e-4])
    found = minimise(lambda x: ((x - target) ** 2).sum(), [3.0, 0.1], vanishing=lambda x: jnp.abs(x) < 1e-3)
    assert found.result == CONVERGED
    np.testing.assert_allclose(found.x, target, rtol=1e-8)


def test_gives_up_after_max_steps(x64):
    assert minimise(rosenbrock, [-1.2, 1.0], max_steps=3).result == MAX_STEPS


def test_reports_a_function_that_is_not_finite(x64):
    assert minimise(lambda x: jnp.log(x).sum(), [-1.0]).result == NON_FINITE


def test_lanes_do_not_disturb_one_another(x64):
    starts = jnp.array([[-1.2, 1.0], [0.9, 0.9], [2.0, -3.0]])
    together = jax.vmap(lambda x: minimise(rosenbrock, x))(starts)
    for i, start in enumerate(starts):
        alone = minimise(rosenbrock, start)
        np.testing.assert_allclose(together.x[i], alone.x, rtol=1e-9)
        assert together.steps[i] == alone.steps


@pytest.mark.parametrize("size", [2, 25])
def test_lbfgs(size, x64):
    found = lbfgs(rosenbrock, jnp.full(size, -0.5), tolerance=1e-12, vanishing=lambda x: x > jnp.inf)
    assert found.result == CONVERGED
    np.testing.assert_allclose(found.x, 1, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_steps_by_the_sizes_of_the_pivots(size, x64):
    """L|D|L' x = b for a matrix LDL' made from its factors, two of three pivots positive."""
    rng = np.random.default_rng(size)
    L = np.tril(0.3 * rng.normal(size=(size, size)), -1) + np.eye(size)
    d = np.where(np.arange(size) % 3 == 1, -1.0, 1.0) * rng.uniform(0.5, 2, size)
    vector = rng.normal(size=size)
    truth = np.linalg.solve(L @ np.diag(np.abs(d)) @ L.T, vector)
    matrix = jnp.asarray(L @ np.diag(d) @ L.T)
    inverse, lowest = modified_inverse(matrix)
    solution, same = jax.jit(modified_solution)(matrix, jnp.asarray(vector))
    np.testing.assert_allclose(inverse @ vector, truth, rtol=1e-9)
    np.testing.assert_allclose(solution, truth, rtol=1e-9)
    np.testing.assert_allclose([lowest, same], d.min(), rtol=1e-9)
