"""Limits of predictions: against dense algebra, against identities, and by simulation of theta."""

import numpy as np
import pandas as pd
import pytest
from helpers import dense_oracle
from scipy.stats import norm

import jaxmixed as jm
from jaxmixed.frame._intervals import Scope, draw_parameters, mixture_limits, predicted
from jaxmixed.frame._predict import fitted_rows

SLEEP = pd.DataFrame({"Days": [0, 4.5, 9], "Subject": ["308", "350", "371"]}, index=list("abc"))


def dense(fit: jm.LmerResult):
    """Return V and X'V^-1X of the fitted rows, in units of the response."""
    design = fit.frame.design
    w = np.ones(fit.nobs) if design.weights is None else design.weights
    V = np.diag(fit.scale / w)
    for term, L in zip(design.terms, fit._factors, strict=True):
        Z = np.zeros((fit.nobs, term.n_levels, term.z.shape[1]))
        Z[np.arange(fit.nobs), term.codes] = term.z
        half = fit.sigma * (Z @ L).reshape(fit.nobs, -1)
        V += half @ half.T
    return V, design.X.T @ np.linalg.solve(V, design.X)


def test_columns_and_index(slope_fit):
    for re in ("conditional", "marginal"):
        plain = slope_fit.predict(SLEEP, re=re)
        for interval in ("confidence", "prediction"):
            found = slope_fit.predict(SLEEP, re=re, interval=interval, alpha=0.1)
            assert found.columns.tolist() == ["predicted", "se", "conf_low", "conf_high"]
            assert found.index.tolist() == ["a", "b", "c"]
            np.testing.assert_allclose(found["predicted"], plain, rtol=1e-12)
            margin = norm.ppf(0.95) * found["se"]
            np.testing.assert_allclose(found["conf_low"], plain - margin, rtol=1e-10)
            np.testing.assert_allclose(found["conf_high"], plain + margin, rtol=1e-10)


def test_marginal_limits(slope_fit):
    """The mean has the variance x'Vx of beta; a response adds that of a new subject's row."""
    X = np.column_stack([np.ones(3), SLEEP["Days"]])
    mean = slope_fit.predict(SLEEP[["Days"]], re="marginal", interval="confidence")
    variance = ((X @ slope_fit.cov_params().to_numpy()) * X).sum(1)
    np.testing.assert_allclose(mean["se"] ** 2, variance, rtol=1e-10)
    (L,) = slope_fit._factors
    prior = slope_fit.scale * ((X @ L) ** 2).sum(1)
    response = slope_fit.predict(SLEEP[["Days"]], re="marginal", interval="prediction")
    np.testing.assert_allclose(response["se"] ** 2, variance + prior + slope_fit.scale, rtol=1e-10)


def test_a_new_row_of_a_known_group_by_dense_algebra(sleepstudy, slope_fit):
    """The variance of y_new - its best linear unbiased prediction, from the joint covariance of all rows."""
    rows, new = slope_fit.frame.design, SLEEP.iloc[:1]
    V, XVX = dense(slope_fit)
    (L,), z, x = slope_fit._factors, np.array([1.0, 0.0]), np.array([1.0, 0.0])
    mine = rows.terms[0].codes == 0
    covariance = slope_fit.scale * mine * (rows.terms[0].z @ L @ L.T @ z)
    weights = np.linalg.solve(V, covariance)
    d = x - rows.X.T @ weights
    variance = slope_fit.scale * z @ L @ L.T @ z - covariance @ weights + d @ np.linalg.solve(XVX, d)
    found = slope_fit.predict(new, interval="confidence")["se"].iloc[0]
    assert found**2 == pytest.approx(variance, rel=1e-9)
    response = slope_fit.predict(new, interval="prediction")["se"].iloc[0]
    assert response**2 == pytest.approx(variance + slope_fit.scale, rel=1e-9)


def test_new_levels_have_their_prior_variance(slope_fit, nested_fit):
    """A row of an unknown subject is a marginal one; an unknown cask keeps what its batch tells."""
    unknown = SLEEP.assign(Subject="nobody")
    for interval in ("confidence", "prediction"):
        marginal = slope_fit.predict(unknown, re="marginal", interval=interval)
        found = slope_fit.predict(unknown, new_levels="population", interval=interval)
        pd.testing.assert_frame_equal(found, marginal)
        missing = slope_fit.predict(unknown, new_levels="missing", interval=interval)
        assert missing.isna().all(axis=None)
    with pytest.raises(jm.DataError, match="did not see: 'nobody'"):
        slope_fit.predict(unknown, interval="confidence")

    new = pd.DataFrame({"batch": ["A", "A"], "cask": ["a", "new"]})
    mean, response = (
        nested_fit.predict(new, new_levels="population", interval=i)["se"] ** 2
        for i in ("confidence", "prediction")
    )
    cask = nested_fit.varcorr().set_index("group")["variance"]["cask:batch"]
    np.testing.assert_allclose(response - mean, [nested_fit.scale, nested_fit.scale + cask], rtol=1e-10)


def test_fitted_rows_keep_their_weights(sleepstudy):
    data = sleepstudy.assign(w=1.0 + np.arange(180) % 3)
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", data, weights="w")
    mean, response = (fit.predict(interval=i)["se"] ** 2 for i in ("confidence", "prediction"))
    np.testing.assert_allclose(response - mean, fit.scale / data["w"], rtol=1e-10)
    np.testing.assert_allclose(data["w"] * mean / fit.scale, fit.augment()["hat"], rtol=1e-10)
    new_mean, new = (fit.predict(data, interval=i)["se"] ** 2 for i in ("confidence", "prediction"))
    np.testing.assert_allclose(new_mean, mean, rtol=1e-10)
    np.testing.assert_allclose(new - new_mean, fit.scale, rtol=1e-10)


def test_an_offset_moves_limits(sleepstudy):
    known = 2.0 * sleepstudy["Days"].to_numpy()
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, offset=known)
    found = fit.predict(interval="confidence")
    np.testing.assert_allclose(found["predicted"], fit.fittedvalues, rtol=1e-12)
    same = fit.predict(sleepstudy, offset=known, interval="confidence")
    np.testing.assert_allclose(same, found, rtol=1e-12)


def test_missing_covariates(slope_fit):
    new = SLEEP.assign(Days=[0, np.nan, 9])
    for re in ("conditional", "marginal"):
        found = slope_fit.predict(new, re=re, interval="prediction")
        assert found.isna().all(axis=1).tolist() == [False, True, False]
        np.testing.assert_allclose(
            found, slope_fit.predict(SLEEP, re=re, interval="prediction").where(found.notna())
        )
    assert slope_fit.predict(new[1:2], interval="confidence").isna().all(axis=None)
    by_draws = slope_fit.predict(new, interval="confidence", draws=9, key=1)
    assert by_draws.isna().all(axis=1).tolist() == [False, True, False]


def test_singular_fits(zero_variance_fit, correlated_fit):
    (V, XVX), design = dense(correlated_fit), correlated_fit.frame.design
    found = correlated_fit.predict(interval="confidence")["se"]
    R = correlated_fit.scale * np.eye(correlated_fit.nobs)
    half = np.linalg.solve(V, design.X)
    P = np.linalg.inv(V) - half @ np.linalg.solve(XVX, half.T)
    # The errors of fitted values have the covariance R - R P R.
    np.testing.assert_allclose(found**2, np.diagonal(R - R @ P @ R), rtol=1e-8)
    flat = zero_variance_fit.predict(interval="confidence")
    np.testing.assert_allclose(flat["se"], zero_variance_fit.sigma / np.sqrt(30), rtol=1e-10)
    by_draws = zero_variance_fit.predict(interval="confidence", draws=50, key=1)
    assert by_draws.notna().all(axis=None)


# --- draws of the variance parameters


def test_draws_have_their_distribution():
    """theta and log sigma are normal with the covariance given; parameters without one stay put."""
    values = np.array([0.8, 0.0, 2.0, 3.0])
    root = np.random.default_rng(1).normal(size=(4, 4)) * 0.2
    vcov = root @ root.T
    vcov[1] = vcov[:, 1] = np.nan
    noise = np.random.default_rng(2).normal(size=(200_000, 4))
    drawn = draw_parameters(values, vcov, noise)
    assert (drawn[:, 1] == 0).all()
    drawn[:, 3] = 3 * np.log(drawn[:, 3] / 3)
    free = [0, 2, 3]
    np.testing.assert_allclose(drawn[:, free].mean(0), [0.8, 2, 0], atol=5e-3)
    np.testing.assert_allclose(np.cov(drawn[:, free].T), vcov[np.ix_(free, free)], rtol=0.02, atol=5e-4)
    np.testing.assert_array_equal(draw_parameters(values, 0 * vcov + np.nan, noise[:2]), [values, values])


@pytest.mark.slow
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("response", [True, False])
def test_a_mixture_without_spread_is_normal(slope_fit, conditional, response):
    scope, rows = Scope(conditional, response), fitted_rows(slope_fit.frame)
    values, stats = np.append(slope_fit.theta, slope_fit.sigma), slope_fit._all_levels
    found = mixture_limits(rows, scope, values, np.zeros((4, 4)), stats, 0.2, 4000, 3)
    exact = predicted(rows, scope, slope_fit.theta, stats)
    sd = slope_fit.sigma * np.sqrt(exact.variance)
    np.testing.assert_allclose(found["predicted"], exact.mean, rtol=1e-12)
    np.testing.assert_allclose(found["se"], sd, rtol=0.06)
    np.testing.assert_allclose((found["conf_high"] - exact.mean) / sd, norm.ppf(0.9), atol=0.12)
    np.testing.assert_allclose((found["conf_low"] - exact.mean) / sd, norm.ppf(0.1), atol=0.12)


def test_draws_widen_limits_and_depend_on_the_key_alone(slope_fit):
    options = {"re": "marginal", "interval": "prediction"}
    normal = slope_fit.predict(SLEEP, **options)
    found = slope_fit.predict(SLEEP, **options, draws=2000, key=5)
    pd.testing.assert_frame_equal(found, slope_fit.predict(SLEEP, **options, draws=2000, key=5))
    pd.testing.assert_series_equal(found["predicted"], normal["predicted"])
    assert (found["se"] > 0.98 * normal["se"]).all()
    assert found["se"].iloc[2] > 1.02 * normal["se"].iloc[2]
    assert not found.equals(slope_fit.predict(SLEEP, **options, draws=2000, key=6))


def test_a_member_of_the_mixture_is_worked_out_at_its_own_theta(slope_fit):
    """Beta, modes and variances move with theta; the truth is dense."""
    rows, theta = fitted_rows(slope_fit.frame), 1.3 * slope_fit.theta
    found = predicted(rows, Scope(True, False), theta, slope_fit._all_levels)
    np.testing.assert_allclose(found.mean, dense_oracle(slope_fit.frame.design, theta).fitted, rtol=1e-10)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"interval": "both"}, "interval is 'both'; expected one of 'confidence', 'prediction'"),
        ({"interval": True}, "interval is True"),
        ({"interval": "confidence", "alpha": 2}, "alpha is 2"),
        ({"draws": 10}, "draws was given without interval"),
        ({"interval": "confidence", "draws": 10}, "draws was given without key"),
        ({"interval": "confidence", "draws": 1, "key": 1}, "draws is 1; expected"),
        ({"interval": "confidence", "draws": 2.0, "key": 1}, "draws is 2.0; expected"),
        ({"interval": "confidence", "draws": 9, "key": "a"}, "key is 'a'"),
    ],
)
def test_options_are_checked(slope_fit, options, match):
    with pytest.raises(jm.DataError, match=match):
        slope_fit.predict(SLEEP, **options)
