"""`jm.lmer` as a whole: equivalent models, options, warnings, and what it leaves alone."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest

import jaxmixed as jm
from jaxmixed.frame import _estimate

INTERCEPT = "Reaction ~ Days + (1 | Subject)"
SLOPE = "Reaction ~ Days + (Days | Subject)"


def same(one: jm.LmerResult, other: jm.LmerResult) -> None:
    """Two fits of one model in two spellings."""
    np.testing.assert_allclose(one.criterion, other.criterion, rtol=1e-9)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-6)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-5)
    np.testing.assert_allclose(one.varcorr()["sd"], other.varcorr()["sd"], rtol=1e-5)
    np.testing.assert_allclose(one.fittedvalues, other.fittedvalues, rtol=1e-5)


# --- the same model, written otherwise


def test_two_bars_are_the_formula():
    data = jm.datasets.load("sleepstudy")
    same(
        jm.lmer("Reaction ~ Days + (Days || Subject)", data),
        jm.lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data),
    )


def test_a_slash_is_a_formula(nested_fit):
    data = jm.datasets.load("Pastes")
    explicit = jm.lmer("strength ~ 1 + (1 | batch) + (1 | cask:batch)", data)
    same(nested_fit, explicit)
    assert nested_fit.ngroups == explicit.ngroups == {"cask:batch": 30, "batch": 10}


def test_nesting_is_found_in_the_data(nested_fit):
    """Whether inner levels are numbered within the outer ones or throughout makes no difference."""
    data = jm.datasets.load("Pastes")
    data["vessel"] = [f"{batch}-{cask}" for batch, cask in zip(data["batch"], data["cask"], strict=True)]
    same(nested_fit, jm.lmer("strength ~ 1 + (1 | vessel) + (1 | batch)", data))


def test_polars_equals_pandas(sleepstudy, slope_fit):
    data = pl.DataFrame({name: sleepstudy[name].tolist() for name in sleepstudy})
    fit = jm.lmer(SLOPE, data)
    same(slope_fit, fit)
    pd.testing.assert_frame_equal(slope_fit.ranef(), fit.ranef(), check_exact=False)
    np.testing.assert_allclose(fit.predict(data[:5]), slope_fit.fittedvalues[:5])


@pytest.mark.parametrize("y_scale", [1e-8, 1e8])
def test_scales_do_not_matter(sleepstudy, slope_fit, y_scale):
    """A covariate of size 1e6 about a mean of 1e9, fixed and random, and a response of any scale."""
    data = sleepstudy.assign(
        Days=1e9 + 1e6 * (sleepstudy["Days"] - 4.5), Reaction=y_scale * sleepstudy["Reaction"]
    )
    fit = jm.lmer(SLOPE, data)
    assert fit.converged and not fit.is_singular
    np.testing.assert_allclose(fit.tvalues["Days"], slope_fit.tvalues["Days"], rtol=1e-6)
    np.testing.assert_allclose(fit.sigma, y_scale * slope_fit.sigma, rtol=1e-6)
    np.testing.assert_allclose(fit.resid, y_scale * slope_fit.resid, atol=1e-6 * fit.sigma)
    slope_sd = [f.varcorr().loc[1, "sd"] for f in (fit, slope_fit)]
    np.testing.assert_allclose(slope_sd[0], 1e-6 * y_scale * slope_sd[1], rtol=1e-5)


# --- weights and offset


def test_weights_by_name_and_by_number(sleepstudy):
    w = 1.0 + np.arange(180) % 3
    named = jm.lmer(INTERCEPT, sleepstudy.assign(w=w), weights="w")
    for numbers in (w, list(w), pd.Series(w, index=sleepstudy.index)):
        same(named, jm.lmer(INTERCEPT, sleepstudy, weights=numbers))
    with pytest.raises(jm.DataError, match="weights has other row labels than the data"):
        jm.lmer(INTERCEPT, sleepstudy, weights=pd.Series(w, index=range(180, 0, -1)))
    doubled = jm.lmer(INTERCEPT, sleepstudy, weights=2 * w)
    np.testing.assert_allclose(doubled.params, named.params, rtol=1e-6)
    np.testing.assert_allclose(doubled.scale, 2 * named.scale, rtol=1e-6)
    np.testing.assert_allclose(doubled.criterion, named.criterion, rtol=1e-9)


def test_offset_by_name_by_number_and_in_the_formula(sleepstudy):
    known = 3.0 * sleepstudy["Days"] + np.arange(180) % 2
    data = sleepstudy.assign(known=known)
    named = jm.lmer(INTERCEPT, data, offset="known")
    same(named, jm.lmer(INTERCEPT, sleepstudy, offset=known.to_numpy()))
    same(named, jm.lmer("Reaction ~ Days + offset(known) + (1 | Subject)", data))
    without = jm.lmer("I(Reaction - known) ~ Days + (1 | Subject)", data)
    np.testing.assert_allclose(named.params, without.params, rtol=1e-8)
    np.testing.assert_allclose(named.fittedvalues, without.fittedvalues + known, rtol=1e-8)


# --- warnings


def test_a_zero_variance_is_named_and_the_warning_can_be_filtered(zero_variance_fit):
    data = jm.datasets.load("Dyestuff2")
    with pytest.warns(jm.SingularFitWarning, match="the variance of Intercept by Batch is zero") as caught:
        fit = jm.lmer("Yield ~ 1 + (1 | Batch)", data)
    assert [w.filename for w in caught] == [__file__]
    assert fit.is_singular and fit.converged
    assert fit.theta.tolist() == [0.0]
    assert (fit.ranef()[["value", "se"]] == 0).all(axis=None)
    with pytest.warns(jm.SingularFitWarning) as caught:
        zero_variance_fit.refit(data["Yield"] + 1)
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", jm.SingularFitWarning)
        jm.lmer("Yield ~ 1 + (1 | Batch)", data)


def test_a_perfect_correlation_is_named(correlated_fit):
    (what,) = correlated_fit.singular_terms
    assert what.startswith("the random effects Intercept, recipe[T.B], recipe[T.C] by replicate are")
    assert correlated_fit.converged
    assert (correlated_fit.varcorr()["sd"].dropna() > 0).all()


def test_an_unfinished_fit_warns_and_says_so(monkeypatch, sleepstudy):
    stopped, fit_and_read = 1, _estimate.fit_and_read

    def unfinished(*args):
        found = fit_and_read(*args)
        return found._replace(optimum=found.optimum._replace(result=np.array(stopped)))

    monkeypatch.setattr("jaxmixed.frame._result.fit_and_read", unfinished)
    with pytest.warns(jm.ConvergenceWarning, match="did not converge") as caught:
        fit = jm.lmer(INTERCEPT, sleepstudy)
    assert [w.filename for w in caught] == [__file__]
    assert not fit.converged
    assert fit.message == jm.core.RESULTS[stopped]
    assert f"did not converge: {fit.message}" in str(fit.summary())


# --- what a result is, and what it leaves alone


def test_results_are_immutable(slope_fit):
    for name in ("reml", "params", "theta", "frame"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(slope_fit, name, None)
    with pytest.raises(ValueError, match="read-only"):
        slope_fit.theta[0] = 1.0


def test_changing_the_data_afterwards_changes_nothing(sleepstudy, intercept_fit):
    data = sleepstudy.astype({"Days": float})
    w, known = np.ones(180), np.zeros(180)
    fit = jm.lmer(INTERCEPT, data, weights=w, offset=known)
    data.loc[:, ["Reaction", "Days"]] = 0.0
    w[:], known[:] = 7, 7
    np.testing.assert_allclose(fit.fittedvalues, intercept_fit.fittedvalues, rtol=1e-8)
    np.testing.assert_allclose(fit.resid, intercept_fit.resid, rtol=1e-6)
    np.testing.assert_allclose(fit.ranef()["se"], intercept_fit.ranef()["se"], rtol=1e-6)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, np.nan])
@pytest.mark.parametrize("table", ["conf_int", "ranef", "coef"])
def test_alpha_is_checked(slope_fit, table, alpha):
    with pytest.raises(jm.DataError, match=r"alpha is .*; expected a number between 0 and 1"):
        getattr(slope_fit, table)(alpha)


def test_alpha_sets_the_coverage(slope_fit):
    narrow, wide = slope_fit.conf_int(0.5), slope_fit.conf_int(0.01)
    assert (wide["conf_low"] < narrow["conf_low"]).all()
    half = (wide["conf_high"] - wide["conf_low"]) / 2
    np.testing.assert_allclose(half / slope_fit.bse, 2.8982305, rtol=1e-6)  # of t with 17 df
    z = slope_fit.conf_int(0.01, method="wald")
    np.testing.assert_allclose((z["conf_high"] - slope_fit.params) / slope_fit.bse, 2.5758293, rtol=1e-7)
    table = slope_fit.ranef(0.01)
    np.testing.assert_allclose(table["upper"] - table["value"], 2.5758293 * table["se"], rtol=1e-7)


def test_the_precision_of_the_caller_is_neither_used_nor_changed(sleepstudy, intercept_fit):
    before = jax.jit(lambda x: 2 * x)
    assert before(jnp.ones(3)).dtype == jnp.float32
    outside = jm.lmer(INTERCEPT, sleepstudy)
    assert not jax.config.jax_enable_x64
    assert before(jnp.ones(3)).dtype == jnp.ones(3).dtype == jnp.float32
    with jax.enable_x64(True):
        inside = jm.lmer(INTERCEPT, sleepstudy)
        assert jax.config.jax_enable_x64 and jnp.ones(3).dtype == jnp.float64
    for fit in (outside, inside):
        assert type(fit.theta) is np.ndarray and fit.theta.dtype == np.float64
        assert fit.params.dtype == fit.fittedvalues.dtype == np.float64
        assert fit.theta.tolist() == intercept_fit.theta.tolist()
        assert fit.params.tolist() == intercept_fit.params.tolist()


def test_data_of_the_same_shape_compile_once(sleepstudy, slope_fit):
    compiled = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    other = pd.DataFrame(
        {
            "Reaction": sleepstudy["Reaction"] ** 2 / 300,
            "Days": 3 * sleepstudy["Days"] + 1,
            "Subject": np.repeat([f"s{i}" for i in range(18)], 10),
        }
    )
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        fit = jm.lmer(SLOPE, other)
        fit.refit(other["Reaction"] + other["Days"])
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled


@pytest.mark.slow
def test_a_large_factor_has_too_many_parameters_for_newton():
    """Six machines for each worker: 21 variance parameters, and L-BFGS."""
    rng = np.random.default_rng(2)
    worker, machine = (a.ravel() for a in np.meshgrid(np.arange(40), np.arange(6), indexing="ij"))
    worker, machine = np.tile(worker, 3), np.tile(machine, 3)
    effects = rng.normal(size=(40, 6)) @ (np.eye(6) + 0.5 * np.tril(rng.normal(size=(6, 6))))
    score = 60 + machine + effects[worker, machine] + 0.6 * rng.normal(size=len(worker))
    data = pd.DataFrame({"score": score, "worker": worker, "machine": [f"m{m}" for m in machine]})
    fit = jm.lmer("score ~ machine + (0 + machine | worker)", data)
    assert len(fit.theta) == 21 and fit.converged and not fit.is_singular
    # The groups are balanced, so that the estimates have a closed form: moments of the cell means.
    cells = data.groupby(["worker", "machine"])["score"].agg(["mean", "var"])
    means = cells["mean"].unstack()
    expected = np.cov(means.T) - cells["var"].mean() / 3 * np.eye(6)
    table = fit.varcorr()
    found = table.loc[table["term2"].isna() & table["term"].notna(), "variance"]
    np.testing.assert_allclose(fit.sigma**2, cells["var"].mean(), rtol=1e-5)
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-4)
    np.testing.assert_allclose(fit.params["Intercept"], means["m0"].mean(), rtol=1e-8)


@pytest.mark.parametrize("reml", ["ML", None, 1])
def test_reml_is_true_or_false(sleepstudy, reml):
    with pytest.raises(jm.DataError, match="expected True for REML"):
        jm.lmer(SLOPE, sleepstudy, reml=reml)


def test_fixed_effects_that_fit_every_level(sleepstudy):
    """The REML criterion is flat then; lme4 gives 1729.162 too."""
    with pytest.warns(jm.ConvergenceWarning, match="already fit every level"):
        fit = jm.lmer("Reaction ~ Subject + (1 | Subject)", sleepstudy)
    assert fit.criterion == pytest.approx(1729.1621537, abs=1e-6)


def test_slopes_of_a_covariate_far_from_zero():
    """A mean a thousand million standard deviations away costs the intercept its digits, not the slope."""
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(30), 8), rng.normal(size=240)
    b = rng.normal(size=(30, 2))
    y = x + b[g, 0] + b[g, 1] * x / 2 + rng.normal(size=240)
    near, far = (jm.lmer("y ~ x + (x | g)", pd.DataFrame({"g": g, "x": x + m, "y": y})) for m in (0.0, 1e9))
    assert far.criterion == pytest.approx(near.criterion, rel=1e-8)
    assert far.tvalues["x"] == pytest.approx(near.tvalues["x"], rel=1e-6)
