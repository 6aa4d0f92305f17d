"""Likelihood ratio tests between models."""

import warnings

import numpy as np
import pandas as pd
import pytest
from catalog import cases

import jaxmixed as jm

QUICK = ("sleep_slope", "pastes", "sleep_weights")  # each fit is a compilation
COMPARED = [
    pytest.param(*p.values, id=p.id, marks=[*p.marks, *([] if p.id in QUICK else [pytest.mark.slow])])
    for p in cases(only=lambda case: case.raw.get("extras", {}).get("likelihood_ratio"))
]


def quietly(*args, **options) -> jm.LmerResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(*args, **options)


@pytest.mark.parametrize("case", COMPARED)
def test_reference(case):
    truth = case.raw["extras"]["likelihood_ratio"]
    models = [
        quietly(truth[which], case.data(), reml=False, weights=case.weights)
        for which in ("alternative_formula", "null_formula")
    ]
    table = jm.anova(*models)
    tolerance = case.tolerance["suggested"]["criterion_abs"]
    assert list(table.index) == [truth["null_formula"], truth["alternative_formula"]]
    assert list(table["n_parameters"]) == truth["n_par"]
    np.testing.assert_allclose(table["deviance"], truth["deviance"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(table["aic"], truth["AIC"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(table["bic"], truth["BIC"], rtol=0, atol=tolerance)
    row = table.iloc[1]
    assert row["df"] == truth["df"]
    np.testing.assert_allclose(row["statistic"], truth["chisq"], rtol=0, atol=2 * tolerance)
    np.testing.assert_allclose(row["p_value"], truth["p"], rtol=max(2 * tolerance, 1e-6))


def test_reml_fits_are_fitted_again(slope_fit, intercept_fit):
    """The answer is that of ML, is said to be so, and the fits given stay as they are."""
    with pytest.warns(
        jm.RefitWarning, match=r"Fitted again by maximum likelihood: 'Reaction ~ Days \+ \(Days"
    ):
        table = jm.anova(slope_fit, intercept_fit)
    assert "Fitted again by maximum likelihood" in table.attrs["note"]
    np.testing.assert_allclose(table["deviance"], [1794.07864301, 1751.93934446], rtol=0, atol=1e-6)
    assert table["statistic"].isna().tolist() == [True, False]
    assert slope_fit.reml and intercept_fit.reml


def test_three_models_are_sorted_and_tested_in_turn(sleepstudy):
    formulas = ["(Days | Subject)", "(1 | Subject)", "(Days || Subject)"]
    fits = [jm.lmer(f"Reaction ~ Days + {bar}", sleepstudy, reml=False) for bar in formulas]
    table = jm.anova(*fits)
    assert list(table["n_parameters"]) == [4, 5, 6]
    assert table.index.name == "model"
    assert list(table["df"].iloc[1:]) == [1, 1]
    np.testing.assert_allclose(table["statistic"].sum(), 42.139298542, rtol=0, atol=1e-5)
    assert table.attrs["note"] == ""


def test_models_of_the_same_size_have_no_p_value(sleepstudy):
    one = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, reml=False)
    two = jm.lmer("Reaction ~ np.sqrt(Days) + (1 | Subject)", sleepstudy, reml=False, context={"np": np})
    table = jm.anova(one, two)
    assert table["df"].iloc[1] == 0
    assert np.isnan(table["p_value"].iloc[1])
    assert "same number of parameters" in table.attrs["note"]


def test_a_larger_model_that_is_worse_is_remarked_upon(sleepstudy):
    one = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, reml=False)
    noise = sleepstudy.assign(a=np.sin(np.arange(180.0)), b=np.cos(3 * np.arange(180.0)))
    two = jm.lmer("Reaction ~ a + b + (1 | Subject)", noise, reml=False)
    table = jm.anova(one, two)
    assert table["statistic"].iloc[1] < 0 and table["p_value"].iloc[1] == 1
    assert "they are not nested" in table.attrs["note"]


def test_rows_are_the_same_whatever_their_labels(gappy, gappy_fit):
    """Dropping the incomplete rows beforehand, or anew numbering, changes nothing."""
    formula = "Reaction ~ Days + (1 | Subject)"
    complete = gappy.dropna()
    for data in (complete, complete.reset_index(drop=True)):
        other = jm.lmer(formula, data)
        if data is complete:
            with pytest.warns(jm.RefitWarning):
                assert len(jm.anova(gappy_fit, other)) == 2
        else:
            with pytest.raises(jm.DataError, match="different rows"):
                jm.anova(gappy_fit, other)


def test_errors(slope_fit, intercept_fit, gappy_fit, sleepstudy):
    formula = "Reaction ~ Days + (1 | Subject)"
    with pytest.raises(jm.DataError, match="Found 1 fit to compare; expected at least two"):
        jm.anova(slope_fit)
    with pytest.raises(jm.DataError, match="Found 0 fits"):
        jm.anova()
    with pytest.raises(jm.DataError, match="Found a DataFrame to compare; expected results of"):
        jm.anova(slope_fit, pd.DataFrame())
    with pytest.raises(
        jm.DataError, match=r"different rows .*177 rows, without those that miss 'Reaction', 'Days'"
    ):
        jm.anova(slope_fit, gappy_fit)
    logged = jm.lmer("log(Reaction) ~ Days + (1 | Subject)", sleepstudy)
    with pytest.raises(jm.DataError, match="different responses"):
        jm.anova(intercept_fit, logged)
    weighted = jm.lmer(formula, sleepstudy, weights=1 + np.arange(180.0))
    with pytest.raises(jm.DataError, match="different weights; expected the same"):
        jm.anova(intercept_fit, weighted)
    ones = jm.lmer(formula, sleepstudy, weights=np.ones(180))
    with pytest.warns(jm.RefitWarning):
        assert jm.anova(intercept_fit, ones)["df"].iloc[1] == 0
