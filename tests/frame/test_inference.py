"""What users ask of a fitted model's tests and intervals, and what they are told when there is no answer."""

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm

METHODS = ("satterthwaite", "kenward-roger", "wald", "residual")


@pytest.fixture(scope="module")
def ml_fit() -> jm.LmerResult:
    return jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"), reml=False)


@pytest.fixture(scope="module")
def oats_fit() -> jm.LmerResult:
    return jm.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", jm.datasets.load("Oats"))


# Coefficients


@pytest.mark.parametrize("ddf", METHODS)
def test_every_table_names_its_method(slope_fit, ddf):
    table = slope_fit.tidy("fixed", ddf=ddf)
    assert list(table["term"]) == ["Intercept", "Days"]
    assert table.attrs["method"].lower().replace(" z", "") == ddf
    title = next(
        line for line in str(slope_fit.summary(ddf)).splitlines() if line.startswith("Fixed effects")
    )
    assert table.attrs["method"] in title
    assert slope_fit.conf_int(method=ddf).attrs["method"] == ddf
    joint = slope_fit.wald_test("Days = 0", ddf=ddf)
    assert joint.ddf == ddf
    np.testing.assert_allclose(joint.p_value, table["p_value"][1], rtol=1e-7)
    assert slope_fit.anova(ddf=ddf).attrs["ddf"] == ddf


def test_residual_degrees_of_freedom_are_rows_less_coefficients(slope_fit):
    assert (slope_fit.tidy("fixed", ddf="residual")["df"] == 178).all()


@pytest.mark.slow
def test_a_larger_alpha_gives_narrower_intervals(slope_fit):
    for method in (*METHODS, "profile"):
        narrow, wide = (slope_fit.conf_int(alpha, method) for alpha in (0.3, 0.01))
        assert (narrow["conf_low"] > wide["conf_low"]).all()
        assert (narrow["conf_high"] < wide["conf_high"]).all()


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda fit: fit.tidy(ddf="between"), "ddf is 'between'"),
        (lambda fit: fit.tidy(effects="random"), "effects is 'random'"),
        (lambda fit: fit.tidy(effects=()), r"effects is \(\)"),
        (lambda fit: fit.conf_int(method="bayes"), "method is 'bayes'"),
        (lambda fit: fit.conf_int(parm="beta"), "parm is 'beta'"),
        (lambda fit: fit.conf_int(parm="random"), "'wald' or 'bootstrap'"),
        (lambda fit: fit.conf_int(2), "alpha is 2"),
        (lambda fit: fit.profile(points=0), "points is 0"),
        (lambda fit: fit.profile(parm="beta"), "parm is 'beta'"),
        (lambda fit: fit.anova(type=4), "type is 4"),
        (lambda fit: fit.cov_params(robust="HC3"), "robust is 'HC3'"),
        (lambda fit: fit.cov_params(robust="CR2", cluster="Days"), "cluster is 'Days'"),
        (lambda fit: fit.cov_params(robust="CR2", cluster=[1, 2]), r"cluster has shape \(2,\)"),
        (lambda fit: fit.cov_varcorr("log"), "scale is 'log'"),
        (lambda fit: fit.wald_test("Weeks = 0"), "Weeks"),
    ],
)
def test_wrong_calls_are_answered_in_a_sentence(slope_fit, call, found):
    with pytest.raises(jm.DataError, match=found):
        call(slope_fit)


def test_kenward_roger_asks_for_reml(ml_fit):
    for call in (ml_fit.tidy, ml_fit.summary, ml_fit.anova):
        with pytest.raises(jm.DataError, match="reml=True"):
            call(ddf="kenward-roger")


# Joint tests


def test_a_matrix_a_frame_and_a_text_state_the_same_hypotheses(oats_fit):
    names = list(oats_fit.params.index)
    matrix = np.eye(len(names))[[1, 3]]
    frame = pd.DataFrame([{names[1]: 1.0}, {names[3]: 1.0}]).fillna(0)
    tests = [oats_fit.wald_test(L) for L in (matrix, frame, f"{names[1]} = 0, {names[3]} = 0")]
    for test in tests:
        assert (test.statistic, test.df_den) == (tests[0].statistic, tests[0].df_den)
    assert tests[0].df_num == 2


def test_anova_sums_of_squares_are_f_times_the_residual_variance(oats_fit):
    for ddf in METHODS:
        table = oats_fit.anova(ddf=ddf)
        np.testing.assert_allclose(table["sum_sq"], table["mean_sq"] * table["num_df"])
        if ddf != "kenward-roger":
            np.testing.assert_allclose(table["mean_sq"], table["statistic"] * oats_fit.scale)


def test_a_joint_test_prints_its_method(oats_fit):
    printed = repr(oats_fit.wald_test("nitro = 0"))
    assert printed.startswith("F(1, 51.00) = ") and "(Satterthwaite)" in printed


# Variance parameters


def test_standard_errors_beside_the_variance_components(slope_fit):
    table = slope_fit.varcorr(se=True)
    assert list(table.columns[:7]) == list(slope_fit.varcorr().columns)
    single = table["term2"].isna()
    np.testing.assert_allclose(
        table.loc[single, "variance_se"], 2 * table.loc[single, "sd"] * table.loc[single, "sd_se"]
    )
    assert table["corr_se"].notna().tolist() == [False, False, True, False]
    assert (table["note"] == "").all()
    sdcor = slope_fit.cov_varcorr()
    np.testing.assert_allclose(np.sqrt(np.diag(sdcor))[[0, 2, 3]], table.loc[single, "sd_se"])


def test_wald_intervals_of_variance_parameters_are_nlmes():
    """R's nlme::intervals on the sleep study's slope model (nlme 3.1-162), good to about 1e-4."""
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))
    limits = fit.conf_int(method="wald", parm="random")
    np.testing.assert_allclose(limits.loc["sigma"], [27.78454, 34.57998], rtol=1e-3)


# Profiles


@pytest.mark.slow
def test_a_profile_of_the_sleep_study(slope_fit):
    profile = slope_fit.profile(points=3)
    table = profile.to_frame()
    assert list(table.columns[:4]) == ["parameter", "zeta", "value", "status"]
    assert list(table["parameter"].unique()) == list(table.columns[4:])[4:] + list(table.columns[4:])[:4]
    assert (table["status"] == "found").all()
    for label, rows in table.groupby("parameter"):
        assert rows["zeta"].is_monotonic_increasing and rows["value"].is_monotonic_increasing
        np.testing.assert_array_equal(rows["value"], rows[label])
    # For a coefficient of a balanced design, the other one moves along a line.
    days = table[table["parameter"] == "Days"]
    slope = np.polyfit(days["Days"], days["Intercept"], 1)[0]
    assert -10 < slope < 10
    pd.testing.assert_frame_equal(profile.conf_int(), slope_fit.conf_int(method="profile", parm="all"))
    assert "maximum likelihood" in repr(profile)


def test_profiles_are_of_the_likelihood_however_the_model_was_fitted(slope_fit, ml_fit):
    by_reml, by_ml = (fit.conf_int(method="profile", parm="all") for fit in (slope_fit, ml_fit))
    np.testing.assert_allclose(by_reml, by_ml, rtol=1e-6)


# The boundary


@pytest.mark.parametrize(
    "name", ["zero_variance_fit", pytest.param("correlated_fit", marks=pytest.mark.slow)]
)
def test_singular_fits_are_answered_everywhere(name, request):
    """Every function gives finite tests of beta, and says what it could not know."""
    fit = request.getfixturevalue(name)
    for ddf in METHODS:
        table = fit.tidy("fixed", ddf=ddf)
        assert np.isfinite(table.drop(columns=["df", "group", "level"]).select_dtypes("number")).all(
            axis=None
        )
        assert np.isfinite(fit.conf_int(method=ddf)).all(axis=None)
        test = fit.wald_test(np.eye(len(fit.params)), ddf)
        assert np.isfinite(test.statistic) and 0 <= test.p_value <= 1
    for type_ in (1, 2, 3):
        assert np.isfinite(fit.anova(type_)).all(axis=None)
    assert any("zero as known" in note for note in fit.tidy().attrs["notes"])
    varcorr = fit.varcorr(se=True)
    assert varcorr["variance_se"].iloc[-1] > 0
    assert varcorr["note"].iloc[0].startswith("on the boundary") and np.isnan(varcorr["sd_se"].iloc[0])
    wald = fit.conf_int(method="wald", parm="random")
    assert "boundary" in " ".join(wald.attrs["notes"]) and np.isfinite(wald.loc["sigma"]).all()
    profiled = fit.conf_int(method="profile", parm="all")
    assert np.isfinite(profiled).all(axis=None)
    assert "boundary" in " ".join(profiled.attrs["notes"])
    assert np.isfinite(fit.cov_params(robust="CR2")).all(axis=None)
    assert str(fit.summary(ddf="kenward-roger"))


@pytest.mark.slow
def test_a_correlation_with_a_zero_variance_can_be_anything():
    """Residuals without a slope within any group leave nothing for the slopes to vary."""
    rng = np.random.default_rng(0)
    x = np.tile(np.arange(6) - 2.5, 10)
    e = rng.normal(size=(10, 6))
    e -= np.outer(e @ x[:6], x[:6]) / 17.5
    data = pd.DataFrame({"x": x, "g": np.repeat(np.arange(10), 6)})
    data["y"] = x + e.ravel() + 2 * rng.normal(size=10)[data["g"]]
    with pytest.warns(jm.SingularFitWarning, match="variance of x"):
        fit = jm.lmer("y ~ x + (x | g)", data)
    limits = fit.conf_int(method="profile", parm="random")
    assert limits.loc["cor(Intercept, x | g)"].tolist() == [-1, 1]
    assert any(note.startswith("cor(Intercept, x | g) reaches") for note in limits.attrs["notes"])
    assert limits.loc["sd(x | g)", "conf_low"] == 0 < limits.loc["sd(x | g)", "conf_high"]


# Tidy tables


def test_tidy_has_a_row_for_each_parameter(slope_fit):
    table = slope_fit.tidy(("fixed", "ran_pars", "ran_vals"))
    assert table["effect"].value_counts().to_dict() == {"ran_vals": 36, "ran_pars": 4, "fixed": 2}
    pars = table[table["effect"] == "ran_pars"]
    assert pars["term"].tolist() == ["sd__Intercept", "cor__Intercept.Days", "sd__Days", "sd__Observation"]
    assert pars["group"].tolist() == ["Subject"] * 3 + ["Residual"]
    sd = slope_fit.varcorr()["sd"]
    np.testing.assert_allclose(pars["estimate"].iloc[[0, 2, 3]], sd[[0, 1, 3]])
    vals = table[table["effect"] == "ran_vals"]
    np.testing.assert_array_equal(vals["estimate"], slope_fit.ranef()["value"])
    robust = slope_fit.tidy("fixed", robust="CR2")
    np.testing.assert_allclose(robust["std_error"] ** 2, np.diag(slope_fit.cov_params(robust="CR2")))
    assert robust.attrs["method"] == "CR2 cluster-robust"


def test_glance_is_one_row(slope_fit, ml_fit):
    row = slope_fit.glance().iloc[0]
    assert len(slope_fit.glance()) == 1
    assert row["nobs"] == 180 and row["REMLcrit"] == slope_fit.criterion and row["AIC"] == slope_fit.aic
    assert "deviance" in ml_fit.glance() and "REMLcrit" not in ml_fit.glance()
    d = slope_fit.n_parameters
    np.testing.assert_allclose(slope_fit.aicc - slope_fit.aic, 2 * d * (d + 1) / (180 - d - 1))
