"""Tests, intervals and standard errors of every reference case, within what the case suggests.

Reference degrees of freedom are compared with `df_recomputed` where there is one: lmerTest's own come from
numerical derivatives with steps too small for large data.
"""

import numpy as np
import pytest
from catalog import case, cases
from references import PARAMETERS, Fitted, close, r_names, reference_fit

import jaxmixed as jm
from jaxmixed.frame._labels import parameter_labels


@pytest.fixture(scope="module", params=PARAMETERS)
def fitted(request) -> Fitted:
    return reference_fit(*request.param)


def assert_coefficients(table, truth, df, tolerance, df_rel):
    """Compare a table of coefficients; p values as far as df and t determine them."""
    se = np.array(truth["se"])
    close(table["estimate"], truth["estimate"], tolerance["beta_in_se"], se)
    close(table["std_error"], se, tolerance["vcov_rel"], se)
    np.testing.assert_allclose(table["df"], df, rtol=df_rel)
    t = np.array(truth["t"])
    close(table["statistic"], t, tolerance["vcov_rel"], np.maximum(1, np.abs(t)))
    # log p of a t distribution moves with t^2
    ours, theirs = (np.maximum(np.array(p, float), 1e-300) for p in (table["p_value"], truth["p"]))
    close(np.log(ours), np.log(theirs), 10 * (tolerance["vcov_rel"] + df_rel), 1 + t**2)
    close(table["conf_low"], truth["ci_lower"], 10 * df_rel, se)
    close(table["conf_high"], truth["ci_upper"], 10 * df_rel, se)


def test_satterthwaite(fitted):
    fit, truth = fitted.fit, fitted.truth["satterthwaite"]
    df_rel = fitted.tolerance["satterthwaite_df_rel"]
    assert_coefficients(
        fit.tidy("fixed"), truth, truth.get("df_recomputed", truth["df"]), fitted.tolerance, df_rel
    )
    np.testing.assert_allclose(fit.df, truth["df"], rtol=max(df_rel, *truth.get("df_rel_uncertainty", [0])))
    np.testing.assert_array_equal(fit.pvalues, fit.tidy("fixed")["p_value"])
    limits = fit.conf_int()
    close(limits["conf_low"], truth["ci_lower"], 10 * df_rel, np.array(truth["se"]))


def test_wald(fitted):
    fit, truth = fitted.fit, fitted.truth["wald_z"]
    table, tolerance = fit.tidy("fixed", ddf="wald"), fitted.tolerance["vcov_rel"]
    z = np.array(truth["z"])
    close(table["statistic"], z, tolerance, np.maximum(1, np.abs(z)))
    assert np.isinf(table["df"]).all()
    limits, se = fit.conf_int(method="wald"), np.array(fitted.truth["se"])
    close(limits["conf_low"], truth["ci_lower"], 10 * tolerance, se)
    close(limits["conf_high"], truth["ci_upper"], 10 * tolerance, se)


def test_kenward_roger(fitted):
    fit, truth = fitted.fit, fitted.truth.get("kenward_roger")
    if not fit.reml:
        with pytest.raises(jm.DataError, match="reml=True"):
            fit.tidy(ddf="kenward-roger")
        return
    table = fit.tidy("fixed", ddf="kenward-roger")
    assert np.isfinite(table["df"]).all()
    if truth is None:
        return
    tolerance = fitted.tolerance
    assert_coefficients(table, truth, truth["df"], tolerance, tolerance["kenward_roger_df_rel"])
    vcov, se = fit.cov_params(ddf="kenward-roger"), np.array(truth["se"])
    close(vcov, truth["vcov_adjusted"], tolerance["vcov_rel"], np.outer(se, se))


@pytest.mark.parametrize("kind", ["satterthwaite", "kenward_roger"])
@pytest.mark.parametrize("type", [1, 3])
def test_anova(fitted, type, kind):
    truth = (fitted.truth.get(f"anova_type{type}") or {}).get(kind)
    if truth is None:
        return
    table = fitted.fit.anova(type, kind.replace("_", "-"))
    table.index = r_names(table.index)
    assert sorted(table.index) == sorted(truth["terms"])
    table = table.loc[truth["terms"]]  # R puts terms that are aliased last
    df_rel = fitted.tolerance[f"{kind}_df_rel"]
    for ours, theirs, rtol in [
        ("num_df", "num_df", 0),
        ("den_df", "den_df", df_rel),
        ("statistic", "F", 10 * fitted.tolerance["vcov_rel"]),
        ("sum_sq", "sum_sq", 10 * fitted.tolerance["vcov_rel"]),
        ("mean_sq", "mean_sq", 10 * fitted.tolerance["vcov_rel"]),
    ]:
        expected = np.array([0 if x is None and ours == "num_df" else x for x in truth[theirs]], float)
        np.testing.assert_allclose(table[ours], expected, rtol=rtol, err_msg=ours)
    expected = np.log(np.array(truth["p"], float))
    np.testing.assert_allclose(np.log(table["p_value"]), expected, rtol=20 * df_rel, atol=20 * df_rel)


@pytest.mark.parametrize("scale", ["theta", "varcov", "sdcor"])
def test_variance_parameters(fitted, scale):
    """Standard errors and covariances, where the optimum is not on the boundary."""
    truth = fitted.truth["vcov_varpar"]
    vcov = fitted.fit.cov_varcorr(scale)
    if fitted.truth["singular"]:
        assert vcov.isna().any(axis=None)
        assert np.isfinite(vcov.iloc[-1, -1])
        return
    truth = truth if scale == "theta" else truth[scale]
    expected = np.array(truth["vcov"])
    se = np.sqrt(np.diag(expected))
    close(vcov, expected, fitted.tolerance["vcov_rel"], np.outer(se, se))


# Profiles: a compilation for each shape.
QUICK_PROFILES = ("dyestuff2", "orthodont", "sleep_slope", "gpa_intercept")
PROFILED = [
    pytest.param(
        p.values[0], id=p.id, marks=[*p.marks, *([] if p.id in QUICK_PROFILES else [pytest.mark.slow])]
    )
    for p in cases(only=lambda c: "profile_exact" in c.raw.get("extras", {}))
    if p.values[0] is not None
]


@pytest.mark.parametrize("profiled", PROFILED)
def test_profile_intervals(profiled):
    """Limits by root finding on the ML deviance; those at the boundary exactly there, and said to be."""
    fit = reference_fit(profiled, True).fit
    truth = profiled.raw["extras"]["profile_exact"]
    limits = fit.conf_int(method="profile", parm="all")
    labels, kinds = parameter_labels(fit.frame, "sdcor")
    found = limits.loc[list(labels)]
    rel = profiled.tolerance["suggested"]["profile_exact_rel"]
    scale = np.array(truth["upper"]) - np.array(truth["lower"])
    for side, name in (("conf_low", "lower"), ("conf_high", "upper")):
        close(found[side], truth[name], rel, scale)
        at_end = [
            label
            for label, kind, value in zip(labels, kinds, truth[name], strict=True)
            if (kind == "sd" and value == 0) or (kind == "cor" and abs(value) == 1)
        ]
        for label in at_end:
            assert found.loc[label, side] == dict(zip(labels, truth[name], strict=True))[label]
            assert any(note.startswith(label) and "boundary" in note for note in limits.attrs["notes"])


def test_published_intervals_of_the_student_model():
    """Standard deviations and coefficients as printed in the introduction that the package starts from."""
    limits = reference_fit(case("gpa_intercept"), True).fit.conf_int(method="profile", parm="all").round(3)
    assert limits.loc["sd(Intercept | student)"].tolist() == [0.225, 0.282]
    assert limits.loc["sigma"].tolist() == [0.231, 0.252]
    assert limits.loc["Intercept"].tolist() == [2.557, 2.642]
    assert limits.loc["occasion"].tolist() == [0.098, 0.114]
