"""Estimates without each group, against fits to frames from which its rows are missing."""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm
from jaxmixed.frame import _leave_out
from jaxmixed.frame._influence import Influence

PASTES = "strength ~ 1 + (1 | batch/cask)"


def quietly(*args, **options) -> jm.LmerResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(*args, **options)


def assert_is_fit(found: Influence, level, fit: jm.LmerResult, full: jm.LmerResult) -> None:
    """Compare one row of every table with a fit to the other rows."""
    se = fit.bse.to_numpy()
    np.testing.assert_allclose((found.estimates.loc[level] - fit.params) / se, 0, atol=1e-5)
    change = full.params - fit.params
    np.testing.assert_allclose(found.dfbeta.loc[level] / se, change / se, atol=1e-5)
    np.testing.assert_allclose(found.dfbetas.loc[level], change / se, atol=2e-5)
    distance = change @ np.linalg.solve(full.cov_params(), change) / len(change)
    assert found.cooks_distance[level] == pytest.approx(distance, abs=1e-4)
    table = fit.varcorr()
    scales = np.append(table["sd"].dropna(), table["corr"].dropna())
    row = found.varcorr.loc[level]
    ours = np.append(row[~row.index.str.startswith("cor")], row[row.index.str.startswith("cor")].dropna())
    np.testing.assert_allclose(ours, scales, rtol=1e-4, atol=1e-4 * fit.sigma)
    assert found.status[level] == "converged"


def test_every_subject(sleepstudy, slope_fit):
    found = slope_fit.influence()
    assert found.group == found.estimates.index.name == "Subject"
    assert found.estimates.index.tolist() == list(sleepstudy["Subject"].unique())
    assert found.estimates.columns.tolist() == ["Intercept", "Days"]
    assert found.varcorr.columns.tolist() == [
        "sd(Intercept | Subject)",
        "cor(Intercept, Days | Subject)",
        "sd(Days | Subject)",
        "sigma",
    ]
    for level in ("308", "309", "335", "337"):
        left = sleepstudy[sleepstudy["Subject"] != level]
        assert_is_fit(found, level, quietly("Reaction ~ Days + (Days | Subject)", left), slope_fit)


@pytest.mark.slow
def test_weights_offset_and_levels_apart(sleepstudy):
    """By maximum likelihood, with covariates that no two subjects share."""
    rng = np.random.default_rng(5)
    data = sleepstudy.assign(w=rng.uniform(0.5, 2, 180), x=rng.normal(size=180), known=np.arange(180) % 7)
    formula, options = (
        "Reaction ~ x + Days + (x | Subject)",
        {"weights": "w", "offset": "known", "reml": False},
    )
    full = quietly(formula, data, **options)
    found = full.influence("Subject")
    for level in ("308", "371"):
        left = quietly(formula, data[data["Subject"] != level], **options)
        assert_is_fit(found, level, left, full)


@pytest.mark.slow
def test_nested_factors(nested_fit):
    """The outer factor takes its casks along; an inner level leaves its batch behind."""
    data = jm.datasets.load("Pastes")
    found = nested_fit.influence()
    assert found.group == "batch"
    assert_is_fit(found, "C", quietly(PASTES, data[data["batch"] != "C"]), nested_fit)
    inner = nested_fit.influence("cask:batch")
    gone = (data["batch"] == "D") & (data["cask"] == "b")
    assert_is_fit(inner, "b:D", quietly(PASTES, data[~gone]), nested_fit)


@pytest.mark.slow
def test_crossed_factors():
    data = jm.datasets.load("Penicillin")
    fit = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    found = fit.influence()
    assert found.group == "sample"
    left = quietly("diameter ~ 1 + (1 | plate) + (1 | sample)", data[data["sample"] != "B"])
    assert_is_fit(found, "B", left, fit)


def test_singular_fits(zero_variance_fit):
    """The search starts off the boundary, and ends there again or not, as a fit to those rows does."""
    data = jm.datasets.load("Dyestuff2")
    found = zero_variance_fit.influence()
    for level in ("A", "E"):
        left = quietly("Yield ~ 1 + (1 | Batch)", data[data["Batch"] != level])
        assert_is_fit(found, level, left, zero_variance_fit)


def test_a_level_that_cannot_be_left_out_is_listed(sleepstudy):
    data = sleepstudy.assign(only=(sleepstudy["Subject"] == "310") * np.arange(180) % 3)
    found = jm.lmer("Reaction ~ Days + only + (1 | Subject)", data).influence()
    lost = found.estimates.isna().all(axis=1)
    assert lost[lost].index.tolist() == ["310"]
    assert found.status["310"] == _leave_out.DEFICIENT
    for table in (found.dfbetas, found.varcorr, found.cooks_distance):
        assert table.loc[["310"]].isna().all(axis=None)
    assert (found.status.drop("310") == "converged").all()
    assert found.dfbetas.drop("310").notna().all(axis=None)


@pytest.mark.slow
def test_the_size_of_batches_changes_nothing(slope_fit, monkeypatch):
    whole = slope_fit.influence().to_frame()
    monkeypatch.setattr(_leave_out, "AT_ONCE", 5 * 10 * 80)
    pd.testing.assert_frame_equal(slope_fit.influence().to_frame(), whole, rtol=1e-7)


def test_tidy(slope_fit):
    found = slope_fit.influence()
    table = found.to_frame()
    assert table.columns.tolist() == [
        "group",
        "term",
        "estimate",
        "dfbeta",
        "dfbetas",
        "cooks_distance",
        "status",
    ]
    assert len(table) == 36
    row = table[(table["group"] == "335") & (table["term"] == "Days")].iloc[0]
    assert row["dfbetas"] == found.dfbetas.loc["335", "Days"]
    assert row["cooks_distance"] == found.cooks_distance["335"]


def test_groups_are_checked(slope_fit):
    with pytest.raises(jm.DataError, match="group is 'Days'; expected one of 'Subject'"):
        slope_fit.influence("Days")
    data = jm.datasets.load("sleepstudy").query("Subject in ['308', '309']")
    few = quietly("Reaction ~ Days + (1 | Subject)", data)
    with pytest.raises(jm.DataError, match="'Subject' has 2 levels; expected at least 3"):
        few.influence()
    with pytest.raises(jm.DataError, match="no fixed effects"):
        quietly("Reaction ~ 0 + (1 | Subject)", data).influence()
