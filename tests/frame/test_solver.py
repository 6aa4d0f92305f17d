"""`lmer(solver=)`: iterative fits of crossed factors, what they report, and what they refuse."""

import jax
import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm
from jaxmixed.core import _iterative_plan

FORMULA = "y ~ x + (1 | user) + (1 | item)"


@pytest.fixture(scope="module")
def ratings():
    """Return 3,000 ratings by 100 users of 60 items."""
    rng = np.random.default_rng(0)
    user, item, x = rng.integers(100, size=3000), rng.integers(60, size=3000), rng.normal(size=3000)
    y = 3 + 0.3 * x + 0.5 * rng.normal(size=100)[user] + 0.7 * rng.normal(size=60)[item]
    return pd.DataFrame({"y": y + rng.normal(size=3000), "x": x, "user": user, "item": item})


@pytest.fixture(scope="module")
def fits(ratings):
    """Return the same model fitted by either solver."""
    return {solver: jm.lmer(FORMULA, ratings, solver=solver) for solver in ("iterative", "direct")}


def test_tables_agree_within_the_monte_carlo_error(fits):
    found, truth = fits["iterative"], fits["direct"]
    error = found.monte_carlo()
    assert set(error.index) == {
        "sd(Intercept | user)", "sd(Intercept | item)", "sigma", "Intercept", "x"
    }  # fmt: skip
    a, b = (fit.varcorr()["sd"].to_numpy() for fit in (found, truth))
    assert (np.abs(a - b) < 4 * error["mc_error"].to_numpy()[:3] + 1e-12).all()
    assert (error["ratio"] < 0.1).all() and (error["mc_error"][:2] > 0).all()
    assert abs(found.criterion - truth.criterion) < 4 * error.attrs["criterion"]
    np.testing.assert_allclose(found.params, truth.params, rtol=1e-5)
    np.testing.assert_allclose(found.bse, truth.bse, rtol=1e-3)
    np.testing.assert_allclose(found.df, truth.df, rtol=0.05)
    for column in ("value", "se"):
        np.testing.assert_allclose(found.ranef()[column], truth.ranef()[column], rtol=0.05, atol=1e-3)
    np.testing.assert_allclose(found.fittedvalues, truth.fittedvalues, atol=1e-3)


def test_standard_errors_of_the_table_are_those_of_the_fit(fits):
    fit = fits["iterative"]
    error = fit.monte_carlo()
    np.testing.assert_allclose(error["std_error"][["Intercept", "x"]], fit.bse, rtol=1e-6)
    np.testing.assert_allclose(error["estimate"]["sigma"], fit.sigma)
    np.testing.assert_allclose(error["ratio"], error["mc_error"] / error["std_error"])
    assert error.attrs["probes"] == 50 and error.attrs["residual"] < 1e-7


def test_summary_says_how_it_was_solved(fits):
    text = str(fits["iterative"].summary())
    assert "Solver:" in text and "iterative, 50 probes; Monte Carlo error of the criterion" in text
    assert "Solver:" not in str(fits["direct"].summary())


def test_predictions_of_new_rows(fits, ratings):
    new = ratings.head(8).assign(item=[0, 1, 2, 3, 4, 5, 6, 999])
    found, truth = (fit.predict(new, new_levels="population", interval="prediction") for fit in fits.values())
    np.testing.assert_allclose(found["predicted"], truth["predicted"], atol=1e-3)
    np.testing.assert_allclose(found["se"], truth["se"], rtol=1e-3)


def test_more_probes_and_another_seed(ratings, fits):
    other = jm.lmer(FORMULA, ratings, solver=jm.Iterative(probes=200, seed=3))
    few, many = fits["iterative"].monte_carlo(), other.monte_carlo()
    assert many.attrs["probes"] == 200 and many.attrs["seed"] == 3
    assert many.attrs["criterion"] < 0.75 * few.attrs["criterion"]
    assert other.criterion != fits["iterative"].criterion


def test_refit_keeps_the_solver(fits):
    fit = fits["iterative"]
    again = fit.refit(fit.y)
    assert again.criterion == fit.criterion
    assert again.monte_carlo().attrs["probes"] == 50


def test_automatic_choice(ratings, fits, monkeypatch):
    assert str(jm.lmer(FORMULA, ratings).summary()) == str(fits["direct"].summary())
    monkeypatch.setattr(_iterative_plan, "DIRECT", 59)
    assert jm.lmer(FORMULA, ratings).criterion == fits["iterative"].criterion


def test_an_error_that_matters_is_warned_of():
    """Fewer than two rows a level, and two probes: chance decides."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"a": rng.integers(300, size=500), "b": rng.integers(300, size=500)})
    effects = 2 * rng.normal(size=300)[data["a"]] + 2 * rng.normal(size=300)[data["b"]]
    data["y"] = effects + rng.normal(size=500)
    few = jm.Iterative(probes=2, seed=2)
    with pytest.warns(jm.ConvergenceWarning, match=r"Monte Carlo error of a variance is .* probes than 2"):
        fit = jm.lmer("y ~ 1 + (1 | a) + (1 | b)", data, solver=few)
    assert fit.doubts in str(fit.summary())


def test_wrong_calls(ratings, fits):
    with pytest.raises(jm.DataError, match="one factor, solved at once: leave solver out"):
        jm.lmer("y ~ x + (1 | user)", ratings, solver="iterative")
    with pytest.raises(jm.DataError, match="solver is 'fast'; expected 'auto', 'direct', 'iterative'"):
        jm.lmer(FORMULA, ratings, solver="fast")
    with pytest.raises(jm.DataError, match="solved directly and has no Monte Carlo error"):
        fits["direct"].monte_carlo()
    with pytest.raises(ValueError, match="seed is -1"):
        jm.Iterative(seed=-1)


def test_nothing_of_the_configuration_changes(fits):
    assert not jax.config.jax_enable_x64
