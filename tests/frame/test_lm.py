import math

import numpy as np
import pandas as pd
import pytest
from catalog import case

from jaxmixed import datasets
from jaxmixed.frame._errors import AliasedColumnsWarning, DataError, DroppedRowsWarning, FormulaError
from jaxmixed.frame._least_squares import least_squares
from jaxmixed.frame._lm import lm
from jaxmixed.frame._lm_by import SingularClusterWarning, lm_by

SLEEP = datasets.load("sleepstudy")
ORTHODONT = datasets.load("Orthodont")

FORMULAS = [
    ("Reaction ~ Days", "Reaction ~ Days", SLEEP),
    ("Reaction ~ 1", "Reaction ~ 1", SLEEP),
    ("Reaction ~ 0 + Days", "Reaction ~ 0 + Days", SLEEP),
    ("log(Reaction) ~ Days + I(Days^2)", "np.log(Reaction) ~ Days + I(Days**2)", SLEEP),
    ("distance ~ Sex * age", "distance ~ Sex * age", ORTHODONT),
    ("distance ~ 0 + Sex + age", "distance ~ 0 + Sex + age", ORTHODONT),
]


@pytest.mark.parametrize(("ours", "theirs", "data"), FORMULAS, ids=[f[0] for f in FORMULAS])
def test_lm_agrees_with_statsmodels(ours, theirs, data):
    ols = pytest.importorskip("statsmodels.formula.api").ols
    expected, fit = ols(theirs, data).fit(), lm(ours, data)
    for name in ["params", "bse", "tvalues", "pvalues", "fittedvalues", "resid"]:
        np.testing.assert_allclose(
            getattr(fit, name), getattr(expected, name), rtol=1e-8, atol=1e-9, err_msg=name
        )
    for name in ["df_resid", "df_model", "rsquared", "rsquared_adj", "nobs", "llf", "fvalue", "f_pvalue"]:
        np.testing.assert_allclose(
            getattr(fit, name), getattr(expected, name), rtol=1e-8, atol=1e-12, err_msg=name
        )
    np.testing.assert_allclose(fit.sigma**2, expected.scale, rtol=1e-10)
    np.testing.assert_allclose(fit.cov_params(), expected.cov_params(), rtol=1e-8)
    np.testing.assert_allclose(fit.conf_int(0.1), expected.conf_int(0.1), rtol=1e-8)
    # statsmodels does not count sigma among the parameters; R and lmer do.
    np.testing.assert_allclose(
        [fit.aic - 2, fit.bic - math.log(fit.nobs)], [expected.aic, expected.bic], rtol=1e-10
    )


def test_published_student_regression():
    fit = lm("gpa ~ occasion", case("gpa_intercept").data())
    assert fit.params.round(3).tolist() == [2.599, 0.106]
    assert fit.bse.round(3).tolist() == [0.018, 0.006]
    assert round(fit.sigma, 4) == 0.3487
    assert round(fit.rsquared, 4) == 0.2136


def test_large_means_and_scales_lose_no_digits():
    rng = np.random.default_rng(5)
    x, e = rng.normal(size=200), rng.normal(size=200)
    plain = lm("y ~ x", pd.DataFrame({"x": x, "y": 1 + x + e}))
    big = pd.DataFrame({"x": 1e9 + 1e6 * x, "y": 1e-8 * (1 + x + e)})
    assert lm("y ~ x", big).tvalues["x"] == pytest.approx(plain.tvalues["x"], rel=1e-6)


def test_an_aliased_column_is_left_out_and_named():
    data = SLEEP.assign(Hours=24 * SLEEP["Days"] + 3)
    with pytest.warns(AliasedColumnsWarning, match="Hours"):
        fit = lm("Reaction ~ Days + Hours", data)
    assert fit.aliased == ("Hours",)
    np.testing.assert_allclose(fit.params, lm("Reaction ~ Days", SLEEP).params)
    assert "combinations of other columns: Hours" in str(fit.summary())
    np.testing.assert_allclose(fit.predict(data.head()), fit.fittedvalues.head())


def test_missing_rows_are_dropped_and_the_index_kept():
    data = SLEEP.set_index(np.arange(len(SLEEP)) * 10)
    data.loc[[0, 30], "Reaction"] = np.nan
    with pytest.warns(DroppedRowsWarning):
        fit = lm("Reaction ~ Days", data)
    assert (fit.nobs, fit.n_dropped) == (178, 2)
    assert fit.resid.index.tolist()[:3] == [10, 20, 40]
    assert "178 (2 dropped" in str(fit.summary())


def test_offset_is_added_to_what_is_fitted_and_predicted():
    data = SLEEP.assign(known=3.0 * SLEEP["Days"])
    fit, plain = lm("Reaction ~ Days + offset(known)", data), lm("Reaction ~ Days", data)
    np.testing.assert_allclose(fit.params - plain.params, [0, -3], atol=1e-10)
    np.testing.assert_allclose(fit.fittedvalues, plain.fittedvalues)
    np.testing.assert_allclose(fit.predict(data), fit.fittedvalues)


def test_predict_keeps_levels_and_transforms_of_the_fit():
    fit = lm("distance ~ poly(age, 2) + Sex", ORTHODONT)
    some = ORTHODONT.iloc[[5, 80]]
    np.testing.assert_allclose(fit.predict(some), fit.fittedvalues.iloc[[5, 80]])
    assert fit.predict(some.assign(age=[np.nan, 8.0])).isna().tolist() == [True, False]
    assert fit.predict() is fit.fittedvalues


def test_a_perfect_fit_is_no_error():
    fit = lm("y ~ x", pd.DataFrame({"x": [0.0, 1.0, 2.0, 4.0], "y": [1.0, 3.0, 5.0, 9.0]}))
    np.testing.assert_allclose(fit.params, [1, 2], atol=1e-12)
    assert fit.rsquared == pytest.approx(1)
    assert "R2:" in str(fit.summary())


@pytest.mark.parametrize("function", [lm, lambda formula, data: lm_by(formula, data, "Subject")])
def test_random_terms_point_to_lmer(function):
    with pytest.raises(FormulaError, match=r"jm\.lmer"):
        function("Reaction ~ Days + (1 | Subject)", SLEEP)


def test_bad_input_gets_a_sentence():
    with pytest.raises(FormulaError, match="formula is 123"):
        lm(123, SLEEP)
    with pytest.raises(DataError, match=r"'Day'.*did you mean 'Days'"):
        lm("Reaction ~ Day", SLEEP)
    with pytest.raises(DataError, match=r"'subject' of by.*did you mean 'Subject'"):
        lm_by("Reaction ~ Days", SLEEP, by="subject")
    with pytest.raises(DataError, match="expected the name of one column"):
        lm_by("Reaction ~ Days", SLEEP, by=["Subject"])
    with pytest.raises(DataError, match="values are missing"):
        lm_by("Reaction ~ Days", SLEEP.assign(g=np.nan), by="g")


def test_each_cluster_gets_the_regression_it_would_get_alone():
    fits = lm_by("distance ~ age", ORTHODONT, by="Subject")
    assert fits.params.index.tolist() == ORTHODONT["Subject"].cat.categories.tolist()
    assert fits.params.index.name == "Subject"
    assert (fits.status == "ok").all()
    for subject, rows in ORTHODONT.groupby("Subject", observed=True):
        alone = lm("distance ~ age", rows)
        np.testing.assert_allclose(fits.params.loc[subject], alone.params, rtol=1e-9)
        np.testing.assert_allclose(fits.bse.loc[subject], alone.bse, rtol=1e-9)
        one = [fits.sigma[subject], fits.rsquared[subject], fits.nobs[subject], fits.df_resid[subject]]
        np.testing.assert_allclose(one, [alone.sigma, alone.rsquared, alone.nobs, alone.df_resid], rtol=1e-9)


def test_clusters_that_cannot_be_fitted_stay_in_the_tables():
    data = pd.DataFrame(
        {
            "g": ["ok"] * 4 + ["one row"] + ["constant x"] * 3 + ["two rows"] * 2 + ["empty"] * 2 + [None],
            "x": [0.0, 1.0, 2.0, 3.0, 1.0, 5.0, 5.0, 5.0, 0.0, 1.0, 0.0, 1.0, 2.0],
            "y": [1.0, 2.0, 3.5, 4.0, 2.0, 1.0, 2.0, 3.0, 1.0, 2.0, np.nan, np.nan, 1.0],
        }
    )
    with (
        pytest.warns(SingularClusterWarning, match="4 of 5 clusters of 'g'"),
        pytest.warns(DroppedRowsWarning, match="Dropped 1 rows whose 'g' is missing"),
        pytest.warns(DroppedRowsWarning, match="2 of 13 rows"),
    ):
        fits = lm_by("y ~ x", data, by="g")
    assert fits.status.to_dict() == {
        "constant x": "rank deficient",
        "empty": "no rows",
        "ok": "ok",
        "one row": "rank deficient",
        "two rows": "saturated",
    }
    assert fits.nobs.to_dict() == {"constant x": 3, "empty": 0, "ok": 4, "one row": 1, "two rows": 2}
    assert fits.params.isna().all(axis=1).tolist() == [True, True, False, True, False]
    assert fits.bse.isna().all(axis=1).tolist() == [True, True, False, True, True]
    assert fits.sigma.isna().tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(fits.params.loc["two rows"], [1, 1])


def test_lm_by_makes_no_loop_over_clusters(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "jaxmixed.frame._lm_by.least_squares", lambda *args: calls.append(args) or least_squares(*args)
    )
    lm_by("Reaction ~ Days", SLEEP, by="Subject")
    assert len(calls) == 1


def test_clusters_with_large_means_lose_no_digits():
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(50), 8)
    x, y = rng.normal(size=400), rng.normal(size=400)
    X = np.column_stack([np.ones(400), x])
    shifted = np.column_stack([np.ones(400), 1e9 + 1e6 * x])
    plain, big = least_squares(X, y, codes, 50), least_squares(shifted, y, codes, 50)
    t = [f.beta[:, 1] / np.sqrt(f.cov[:, 1, 1]) for f in (plain, big)]
    np.testing.assert_allclose(t[1], t[0], rtol=1e-6)
    np.testing.assert_allclose(big.rsquared, plain.rsquared, rtol=1e-6)
