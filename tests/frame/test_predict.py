"""Fitted values, residuals, predictions for new rows, and fits to other responses."""

import jax
import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm

INTERCEPT = "Reaction ~ Days + (1 | Subject)"


def effects(fit: jm.LmerResult, group_var: str, effect: str = "Intercept") -> pd.Series:
    table = fit.ranef()
    rows = table[(table["group_var"] == group_var) & (table["effect"] == effect)]
    return rows.set_index("group")["value"]


# --- fitted rows


def test_rows_keep_their_index(gappy, gappy_fit):
    kept = [label for i, label in enumerate(gappy.index) if i not in (3, 7, 50)]
    assert gappy_fit.fittedvalues.index.tolist() == kept
    assert gappy_fit.resid.index.tolist() == kept
    assert gappy_fit.predict(re="marginal").index.tolist() == kept
    total = gappy_fit.fittedvalues + gappy_fit.resid
    np.testing.assert_allclose(total, gappy.loc[kept, "Reaction"])
    assert (gappy_fit.nobs, gappy_fit.frame.n_dropped) == (177, 3)


def test_a_multiindex_and_repeated_labels_are_kept(sleepstudy, intercept_fit):
    several = sleepstudy.set_index(["Subject", "Days"], drop=False)
    several.index.names = ["a", "b"]
    fit = jm.lmer(INTERCEPT, several)
    assert fit.fittedvalues.index.equals(several.index)
    fit = jm.lmer(INTERCEPT, sleepstudy.set_axis(np.zeros(180, dtype=int)))
    assert fit.resid.index.tolist() == [0] * 180
    np.testing.assert_allclose(fit.resid, intercept_fit.resid)


def test_old_rows_are_predicted_as_fitted(sleepstudy, gappy, slope_fit, gappy_fit):
    pd.testing.assert_series_equal(slope_fit.predict(), slope_fit.fittedvalues, check_names=False)
    np.testing.assert_allclose(slope_fit.predict(sleepstudy), slope_fit.fittedvalues, rtol=1e-12)
    found = gappy_fit.predict(gappy)
    assert found.index.equals(gappy.index)
    np.testing.assert_allclose(found[gappy_fit.fittedvalues.index], gappy_fit.fittedvalues, rtol=1e-12)
    # A missing response does not stand in the way of a prediction; a missing covariate does.
    assert np.flatnonzero(found.isna()).tolist() == [7]


# --- new rows


def test_predictions_add_up(slope_fit):
    new = pd.DataFrame({"Days": [2.5, 20.0], "Subject": ["350", "308"]}, index=["a", "b"])
    fixed = slope_fit.params["Intercept"] + slope_fit.params["Days"] * new["Days"]
    marginal = slope_fit.predict(new, re="marginal")
    pd.testing.assert_series_equal(marginal, fixed, check_names=False)
    pd.testing.assert_series_equal(slope_fit.predict(new[["Days"]], re="marginal"), marginal)
    intercepts, slopes = (effects(slope_fit, "Subject", e)[new["Subject"]] for e in ("Intercept", "Days"))
    conditional = fixed + intercepts.to_numpy() + slopes.to_numpy() * new["Days"]
    pd.testing.assert_series_equal(slope_fit.predict(new), conditional, check_names=False)


def test_new_levels(slope_fit):
    new = pd.DataFrame({"Days": [1, 1, 1], "Subject": ["308", "nobody", None]})
    with pytest.raises(jm.DataError, match="levels of 'Subject' that the fit did not see: 'nobody'"):
        slope_fit.predict(new)
    marginal = slope_fit.predict(new, re="marginal")
    population = slope_fit.predict(new, new_levels="population")
    missing = slope_fit.predict(new, new_levels="missing")
    assert population[0] == missing[0] != marginal[0]
    np.testing.assert_allclose(population[1:], marginal[1:])
    assert missing[1:].isna().all()


def test_a_new_level_of_the_inner_factor_keeps_the_outer_one(nested_fit):
    new = pd.DataFrame({"batch": ["A", "Z"], "cask": ["new", "a"]})
    found = nested_fit.predict(new, new_levels="population")
    mean = nested_fit.params["Intercept"]
    np.testing.assert_allclose(found, [mean + effects(nested_fit, "batch")["A"], mean])
    assert nested_fit.predict(new, new_levels="missing").isna().all()


def test_missing_covariates_give_missing_predictions(slope_fit):
    new = pd.DataFrame({"Days": [1.0, np.nan, 3.0], "Subject": ["308"] * 3})
    for re in ("conditional", "marginal"):
        assert slope_fit.predict(new, re=re).isna().tolist() == [False, True, False]
    assert slope_fit.predict(new[1:2]).isna().all()


@pytest.mark.parametrize("value", ["both", None, 1, ["conditional"]])
def test_options_are_checked(slope_fit, value):
    with pytest.raises(jm.DataError, match=r"re is .*; expected one of 'conditional', 'marginal'"):
        slope_fit.predict(re=value)
    with pytest.raises(jm.DataError, match=r"new_levels is .*; expected one of 'error', 'population'"):
        slope_fit.predict(new_levels=value)


def test_new_rows_lack_a_column(slope_fit):
    with pytest.raises(jm.DataError, match=r"'Days' .* is not in newdata"):
        slope_fit.predict(pd.DataFrame({"Subject": ["308"]}))
    with pytest.raises(jm.DataError, match=r"'Subject' .* is not in newdata"):
        slope_fit.predict(pd.DataFrame({"Days": [1]}))


# --- offsets of new rows


def test_an_offset_by_name_is_looked_up_in_new_data(sleepstudy):
    data = sleepstudy.assign(known=2.0 * sleepstudy["Days"])
    fit = jm.lmer(INTERCEPT, data, offset="known")
    new = data.iloc[[4, 100]]
    np.testing.assert_allclose(fit.predict(new), fit.fittedvalues.iloc[[4, 100]])
    more = fit.predict(new.assign(known=new["known"] + 5))
    np.testing.assert_allclose(more, fit.fittedvalues.iloc[[4, 100]] + 5)
    np.testing.assert_allclose(fit.predict(new, offset=[0, 0]), fit.predict(new) - new["known"])
    missing = fit.predict(new.assign(known=[np.nan, 1.0]))
    assert missing.isna().tolist() == [True, False]
    with pytest.raises(jm.DataError, match="'known'"):
        fit.predict(new.drop(columns="known"))


def test_an_offset_by_number_is_asked_for_again(sleepstudy):
    known = 2.0 * sleepstudy["Days"].to_numpy()
    fit = jm.lmer(INTERCEPT, sleepstudy, offset=known)
    new = sleepstudy.iloc[[4, 100]]
    with pytest.raises(jm.DataError, match="offset"):
        fit.predict(new)
    with pytest.raises(jm.DataError, match=r"offset has shape \(3,\), but .* 2 rows"):
        fit.predict(new, offset=[1, 2, 3])
    np.testing.assert_allclose(fit.predict(new, offset=known[[4, 100]]), fit.fittedvalues.iloc[[4, 100]])


def test_an_offset_of_the_formula_and_one_beside_it_add_up(sleepstudy):
    data = sleepstudy.assign(a=1.0 * sleepstudy["Days"], b=np.arange(180) % 2.0)
    both = jm.lmer("Reaction ~ Days + offset(a) + (1 | Subject)", data, offset="b")
    one = jm.lmer(INTERCEPT, data, offset=data["a"] + data["b"])
    np.testing.assert_allclose(both.params, one.params, rtol=1e-8)
    np.testing.assert_allclose(both.predict(data[:9]), one.fittedvalues[:9])


# --- other responses


def test_refit_is_a_fit_to_the_changed_frame(sleepstudy, slope_fit):
    y = sleepstudy["Reaction"] ** 1.1 + np.arange(180) % 7
    again = slope_fit.refit(y)
    fresh = jm.lmer("y ~ Days + (Days | Subject)", sleepstudy.assign(y=y))
    assert again.criterion == pytest.approx(fresh.criterion, rel=1e-12)
    for name in ("params", "bse", "fittedvalues", "resid", "theta"):
        np.testing.assert_allclose(getattr(again, name), getattr(fresh, name), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(again.ranef()["value"], fresh.ranef()["value"], atol=1e-7)
    np.testing.assert_allclose(again.predict(sleepstudy[:3]), fresh.fittedvalues[:3])
    # The fit that it came from is as it was.
    assert slope_fit.params["Days"] == pytest.approx(10.467286, abs=1e-6)


def test_changing_the_response_afterwards_changes_nothing(slope_fit):
    y = slope_fit.fittedvalues.to_numpy() + slope_fit.resid.to_numpy()[::-1]
    kept = y.copy()
    fit = slope_fit.refit(y)
    y[:] = 0.0
    np.testing.assert_allclose(fit.fittedvalues + fit.resid, kept)


def test_refit_keeps_weights_offset_and_dropped_rows(gappy):
    data = gappy.assign(w=1.0 + np.arange(180) % 3, known=np.arange(180) % 5)
    with pytest.warns(jm.DroppedRowsWarning):
        fit = jm.lmer(INTERCEPT, data, weights="w", offset="known", reml=False)
    y = fit.fittedvalues + 2 * fit.resid
    again = fit.refit(y)
    complete = data.loc[y.index].assign(Reaction=y)
    fresh = jm.lmer(INTERCEPT, complete, weights="w", offset="known", reml=False)
    assert again.resid.index.equals(y.index)
    np.testing.assert_allclose(again.criterion, fresh.criterion, rtol=1e-10)
    np.testing.assert_allclose(again.params, fresh.params, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.ones(3), r"y has shape \(3,\)"),
        (np.ones((180, 1)), r"y has shape \(180, 1\)"),
        (np.r_[np.nan, np.arange(179)], "1 infinite or missing value"),
        (np.r_[np.inf, np.arange(179)], "1 infinite or missing value"),
        (np.ones(180), "constant"),
        (["a"] * 180, "not numeric"),
    ],
    ids=["short", "column", "missing", "infinite", "constant", "text"],
)
def test_other_responses_are_checked(slope_fit, y, match):
    with pytest.raises(jm.DataError, match=match):
        slope_fit.refit(y)


def test_simulated_responses(slope_fit):
    """Column i depends on the key and on i alone, and a draw can be fitted in its turn."""
    few, more = slope_fit.simulate(2, key=7), slope_fit.simulate(5, key=7)
    assert few.index.equals(slope_fit.fittedvalues.index)
    pd.testing.assert_frame_equal(few, more.iloc[:, :2])
    pd.testing.assert_frame_equal(few, slope_fit.simulate(2, key=jax.random.key(7)))
    assert slope_fit.refit(more[4]).converged


@pytest.mark.parametrize(("n", "key"), [(0, 1), (1.5, 1), (True, 1), (2, "a"), (2, None), (2, True)])
def test_draws_are_checked(slope_fit, n, key):
    with pytest.raises(jm.DataError, match="expected"):
        slope_fit.simulate(n, key)


def test_an_offset_is_for_new_rows(slope_fit):
    with pytest.raises(jm.DataError, match="offset was given without newdata"):
        slope_fit.predict(offset=np.ones(180))


def test_the_data_of_a_fit_cannot_be_changed(slope_fit):
    with pytest.raises(ValueError, match="read-only"):
        slope_fit.frame.design.y[:] = 0
