"""Leverages and Cook's distances: lme4's at its own theta, and what `augment` makes of them."""

import warnings

import numpy as np
import pytest
from catalog import cases

import jaxmixed as jm
from jaxmixed.frame._augment import augment_frame, leverages
from jaxmixed.frame._data import model_frame
from jaxmixed.frame._predict import fitted_rows, predicted_mean


def has_leverages(case) -> bool:
    return "hat_head" in case.fits.get("REML", {})


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("case", cases(only=has_leverages))
def test_reference(case, method):
    """No fit: lme4's theta, beta and sigma, so that all digits of its own numbers count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        frame = model_frame(case.formula, case.data(), case.weights)
    truth, design, levels = case.fits[method], frame.design, jm.core.suffstats(frame.design)
    theta, beta, sigma = (np.array(truth[name]) for name in ("theta", "beta", "sigma"))
    hat = leverages(design, theta, levels)
    np.testing.assert_allclose(hat.sum(), truth["hat_sum"], rtol=1e-8)
    fitted = predicted_mean(fitted_rows(frame), beta, jm.core.ranef_modes(theta, levels))
    table = augment_frame(
        frame.index, design.y - fitted, fitted, fitted, hat, design.weights, sigma, len(beta)
    )
    head = table.loc[np.array(truth["head_rows"]) - 1]
    np.testing.assert_allclose(head["hat"], truth["hat_head"], rtol=1e-8)
    np.testing.assert_allclose(head["cooksd"], truth["cooks_distance_head"], rtol=1e-5, atol=1e-10)


def test_columns(gappy_fit):
    table = gappy_fit.augment()
    assert table.columns.tolist() == "fitted resid hat cooksd fixed std_resid weights".split()
    assert table.index.equals(gappy_fit.fittedvalues.index)
    np.testing.assert_array_equal(table["fitted"], gappy_fit.fittedvalues)
    np.testing.assert_array_equal(table["resid"], gappy_fit.resid)
    np.testing.assert_array_equal(table["fixed"], gappy_fit.predict(re="marginal"))
    assert (table["weights"] == 1).all()
    expected = table["resid"] / gappy_fit.sigma / np.sqrt(1 - table["hat"])
    np.testing.assert_allclose(table["std_resid"], expected, rtol=1e-12)
    cook = table["std_resid"] ** 2 * table["hat"] / (1 - table["hat"]) / 2
    np.testing.assert_allclose(table["cooksd"], cook, rtol=1e-12)


def test_without_random_variation_leverages_are_those_of_regression(zero_variance_fit):
    table = zero_variance_fit.augment()
    np.testing.assert_allclose(table["hat"], 1 / 30, rtol=1e-12)


def test_a_row_that_is_fitted_exactly_has_no_standardised_residual(sleepstudy):
    data = sleepstudy.assign(only=(np.arange(180) == 17) * 1.0)
    table = jm.lmer("Reaction ~ Days + only + (1 | Subject)", data).augment()
    assert table["hat"][17] == pytest.approx(1, abs=1e-9)
    assert np.flatnonzero(table["std_resid"].isna()).tolist() == [17]
    assert np.flatnonzero(table["cooksd"].isna()).tolist() == [17]


def test_no_fixed_effects(sleepstudy):
    """Nothing for Cook's distance to measure; the rest stands."""
    table = jm.lmer("Reaction ~ 0 + (1 | Subject)", sleepstudy).augment()
    assert table["cooksd"].isna().all()
    assert table.drop(columns="cooksd").notna().all(axis=None)
    assert (table["fixed"] == 0).all()
