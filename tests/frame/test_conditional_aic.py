"""Effective degrees of freedom and the conditional AIC, against refits to responses moved a little."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import jaxmixed as jm


def sum_of_slopes(fit: jm.LmerResult) -> float:
    """Return sum_i d fitted_i / d y_i by central differences, each side a fit of its own."""
    step, total = 1e-3 * fit.sigma, 0.0
    for i in range(fit.nobs):
        moved = step * (np.arange(fit.nobs) == i)
        up, down = (fit.refit(fit.y + sign * moved).fittedvalues.iloc[i] for sign in (1, -1))
        total += (up - down) / (2 * step)
    return total


@pytest.mark.slow
def test_theta_moves_with_the_response(slope_fit):
    assert slope_fit._effective_df.total == pytest.approx(sum_of_slopes(slope_fit), abs=1e-6)


@pytest.mark.parametrize("reml", [True, False])
def test_small_fits(reml):
    fit = jm.lmer("Yield ~ 1 + (1 | Batch)", jm.datasets.load("Dyestuff"), reml)
    assert fit._effective_df.total == pytest.approx(sum_of_slopes(fit), abs=1e-6)
    assert fit._effective_df.total > fit._effective_df.at_theta + 0.3


def test_nested_fits(nested_fit):
    assert nested_fit._effective_df.total == pytest.approx(sum_of_slopes(nested_fit), abs=1e-6)


@pytest.mark.slow
def test_crossed_fits():
    fit = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", jm.datasets.load("Penicillin"))
    assert fit._effective_df.total == pytest.approx(sum_of_slopes(fit), abs=1e-6)


def test_weights_and_an_offset(sleepstudy):
    rng = np.random.default_rng(3)
    data = sleepstudy[:60].assign(w=rng.uniform(0.3, 3, 60), known=rng.normal(size=60))
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", data, weights="w", offset="known")
    assert fit._effective_df.total == pytest.approx(sum_of_slopes(fit), abs=1e-6)
    density = norm.logpdf(fit.y, fit.fittedvalues, fit.sigma / np.sqrt(data["w"])).sum()
    assert fit.caic == pytest.approx(-2 * density + 2 * (fit._effective_df.total + 1), rel=1e-12)


def test_variances_of_zero_are_known(zero_variance_fit):
    """Such a fit is a regression, with one parameter and sigma."""
    assert zero_variance_fit._effective_df.total == pytest.approx(1, abs=1e-9)
    density = norm.logpdf(zero_variance_fit.resid, 0, zero_variance_fit.sigma).sum()
    assert zero_variance_fit.caic == pytest.approx(-2 * density + 2 * (1 + 1), rel=1e-12)


def test_a_singular_covariance_matrix(correlated_fit):
    found = correlated_fit._effective_df
    assert found.at_theta == pytest.approx(correlated_fit.augment()["hat"].sum(), rel=1e-10)
    assert 0 < found.total - found.at_theta < 6


def test_the_scale_of_covariates_and_response_drops_out(slope_fit):
    data = jm.datasets.load("sleepstudy").assign(
        far=lambda d: 1e6 + 100 * d["Days"], y=lambda d: 1e3 * d["Reaction"] + 1e6
    )
    moved = jm.lmer("y ~ far + (far | Subject)", data)
    assert moved._effective_df.total == pytest.approx(slope_fit._effective_df.total, abs=1e-4)
    assert isinstance(slope_fit.caic, float) and not pd.isna(slope_fit.caic)
    # log f falls by log 1000 a row.
    assert moved.caic - slope_fit.caic == pytest.approx(2 * 180 * np.log(1e3), rel=1e-6)
