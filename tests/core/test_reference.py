"""Rung one against lme4: criterion and gradient at the thetas where lme4 was asked for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalog import Case, cases

from jaxmixed import core
from jaxmixed.frame._data import model_frame

pytestmark = pytest.mark.filterwarnings("ignore::jaxmixed.JaxmixedWarning")


@functools.cache
def statistics(case: Case) -> core.SuffStats:
    return core.compress(model_frame(case.formula, case.data(), case.weights).design)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("case", cases())
def test_criterion(case, reml):
    method = "REML" if reml else "ML"
    for point in case.objective_points:
        found = core.criterion(np.array(point["theta"], float), statistics(case), reml)
        np.testing.assert_allclose(found, point[method], rtol=1e-10)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("case", cases(only=lambda c: "REML_gradient" in c.objective_points[0]))
def test_gradient(case, reml, x64):
    """lme4's gradients are differences of a criterion of size f, so they are good to about 1e-12 f."""
    stats = jax.tree.map(jnp.asarray, statistics(case))
    gradient = jax.jit(jax.grad(core.criterion), static_argnums=2)
    for point in case.objective_points:
        method = "REML" if reml else "ML"
        truth = np.array(point[f"{method}_gradient"])
        found = gradient(jnp.asarray(point["theta"], float), stats, reml)
        np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-9 * abs(point[method]))
