"""The bootstrap as users see it: kinds, intervals, failures, files; distributions where theory knows them."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxmixed as jm
from jaxmixed.frame import _bootstrap_intervals as by

KINDS = ("parametric", "residual", "case", "wild")


@pytest.fixture(scope="module")
def fit() -> jm.LmerResult:
    return jm.lmer("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))


@pytest.fixture(scope="module")
def boot(fit) -> jm.Bootstrap:
    return fit.bootstrap(2000, key=1)


def test_the_parametric_bootstrap_finds_the_standard_errors(fit, boot):
    table = boot.summary()
    np.testing.assert_allclose(table.loc[list(fit.params.index), "std_error"], fit.bse, rtol=0.06)
    np.testing.assert_allclose(table["estimate"], boot.estimates)
    assert boot.failures == {} and boot.n == 2000
    se = np.sqrt(np.diag(fit.cov_varcorr()))
    np.testing.assert_allclose(table["std_error"].iloc[:2], se, rtol=0.1)
    assert (boot.to_frame()["status"] == "converged").all()


def test_every_replicate_is_a_fit_of_its_own(fit):
    """A replicate drawn row by row, fitted again by `refit`, gives the same criterion and estimates."""
    from jaxmixed import core

    boot = fit.bootstrap(3, key=5, kind="wild")
    design, beta = fit.frame.design, fit.params.to_numpy()
    with jax.enable_x64(True):
        for i in range(3):
            key = jax.random.fold_in(jax.random.key(5), i)
            y = core.turn_over(key, design, beta, design.terms[0].codes, 18)
            again = fit.refit(np.asarray(y))
            np.testing.assert_allclose(boot.replicates.criterion[i], again.criterion, atol=1e-7)
            np.testing.assert_allclose(boot.replicates.beta[i], again.params, rtol=1e-7)
            np.testing.assert_allclose(boot.replicates.se[i], again.bse, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_agree_on_the_coefficients(fit, kind):
    boot = fit.bootstrap(1500, key=2, kind=kind)
    table = boot.summary().loc[list(fit.params.index)]
    robust = np.sqrt(np.diag(fit.cov_params(robust="CR0")))
    truth = robust if kind in ("case", "wild") else fit.bse
    np.testing.assert_allclose(table["std_error"], truth, rtol=0.12)
    assert (table["bias"].abs() < 4 * table["std_error"] / np.sqrt(1500)).all()


@pytest.mark.slow
def test_more_replicates_are_the_same_as_all_at_once(fit, boot):
    fewer = fit.bootstrap(100, key=1)
    np.testing.assert_allclose(fewer.replicates.beta, boot.replicates.beta[:100], rtol=1e-9)
    more = fewer.extend(50)
    assert more.n == 150
    np.testing.assert_allclose(more.replicates.criterion, boot.replicates.criterion[:150], rtol=1e-9)


@pytest.mark.parametrize("method", ["percentile", "basic", "normal", "studentized", "bca"])
def test_intervals_agree_where_the_estimate_is_normal(fit, boot, method):
    limits, wald = boot.conf_int(method=method, parm="fixed"), fit.conf_int(method="wald")
    width = 2 * 1.96 * fit.bse
    assert (np.abs(limits - wald).div(width, axis=0) < 0.1).all(axis=None)
    assert limits.attrs["method"] == f"parametric bootstrap, {method}"
    if method != "studentized":
        assert list(boot.conf_int(method=method, parm="random").index) == ["sd(Intercept | Subject)", "sigma"]


def test_intervals_of_the_fit(fit):
    limits = fit.conf_int(method="bootstrap", parm="all")
    profile = fit.conf_int(method="profile", parm="all")
    assert list(limits.index) == list(profile.index)
    width = profile["conf_high"] - profile["conf_low"]
    assert (np.abs(limits - profile).div(width, axis=0) < 0.15).all(axis=None)


def test_a_statistic_of_the_users(fit):
    boot = fit.bootstrap(64, key=1, statistic=lambda r: [r.beta[1] / r.beta[0], r.sdcor[0] ** 2])
    table = boot.to_frame()
    np.testing.assert_allclose(table["statistic[0]"], table["Days"] / table["Intercept"])
    np.testing.assert_allclose(boot.estimates["statistic[1]"], fit.varcorr()["variance"][0])
    assert "statistic[0]" in boot.conf_int().index
    with pytest.raises(jm.DataError, match="bca"):
        boot.conf_int(method="bca")


def test_files(boot, tmp_path):
    boot.save(tmp_path / "boot.npz")
    read = jm.Bootstrap.load(tmp_path / "boot.npz")
    np.testing.assert_array_equal(read.conf_int(), boot.conf_int())
    np.testing.assert_array_equal(read.conf_int(method="studentized"), boot.conf_int(method="studentized"))
    assert repr(read) == repr(boot)
    for call in (lambda: read.extend(10), lambda: read.conf_int(method="bca")):
        with pytest.raises(jm.DataError, match="read from a file"):
            call()


def test_failures_are_counted_and_left_out(boot):
    broken = boot.replicates._replace(result=np.where(np.arange(2000) < 3, 2, 0))
    import dataclasses

    some = dataclasses.replace(boot, replicates=broken)
    assert some.failures == {"the criterion became infinite or not a number": 3}
    assert "3 of 2000 replicates left out" in some.conf_int().attrs["notes"][0]
    assert "3 of them not converged" in repr(some)
    none = dataclasses.replace(boot, replicates=boot.replicates._replace(result=np.ones(2000, int)))
    with pytest.raises(jm.DataError, match="0 of 2000 replicates converged"):
        none.conf_int()


@pytest.mark.slow
def test_crossed_factors():
    fit = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", jm.datasets.load("Penicillin"))
    for kind in ("parametric", "residual"):
        table = fit.bootstrap(200, key=1, kind=kind).summary()
        np.testing.assert_allclose(table.loc["sigma", "std_error"], 0.036, rtol=0.3)
    for kind in ("case", "wild"):
        with pytest.raises(jm.DataError, match="crossed"):
            fit.bootstrap(10, key=1, kind=kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parametric", "residual", "case", "wild"])
@pytest.mark.parametrize("dropped", [0, 1], ids=["balanced", "unbalanced"])
def test_nested_factors(kind, dropped):
    fit = jm.lmer("strength ~ 1 + (1 | batch/cask)", jm.datasets.load("Pastes").iloc[dropped:])
    boot = fit.bootstrap(300, key=3, kind=kind)
    assert sum(boot.failures.values()) < 3
    truth = fit.bse.iloc[0]
    np.testing.assert_allclose(boot.summary().loc["Intercept", "std_error"], truth, rtol=0.25)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda fit: fit.bootstrap(10, 1, mesh=3), "mesh is of type int"),
        (lambda fit: fit.bootstrap(0, 1), "n is 0"),
        (lambda fit: fit.bootstrap(10, "a"), "key is 'a'"),
        (lambda fit: fit.bootstrap(10, 1, kind="bayes"), "kind is 'bayes'"),
    ],
)
def test_wrong_calls(fit, call, found):
    with pytest.raises(jm.DataError, match=found):
        call(fit)


def test_data_of_the_same_shape_compile_once(boot):
    """Whatever the number of replicates; `boot` has compiled the programs of its shape."""
    compiled = []

    def listener(event, duration, **details):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    data = jm.datasets.load("sleepstudy")
    other = jm.lmer(
        "Reaction ~ Days + (1 | Subject)", data.assign(Reaction=data["Reaction"].to_numpy()[::-1])
    )
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        other.bootstrap(70, key=9)
        other.bootstrap(3000, key=10)
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert not compiled


def test_interval_formulas():
    """On replicates 1, ..., 99 of an estimate of 40, where the quantiles are plain."""
    replicates, estimate = np.arange(1.0, 100)[:, None], np.array([40.0])
    np.testing.assert_allclose(by.percentile(replicates, estimate, 0.05).T, [[5, 95]])
    np.testing.assert_allclose(by.basic(replicates, estimate, 0.05).T, [[-15, 75]])
    np.testing.assert_allclose(by.normal(replicates, estimate, 0.05).mean(), 30)
    se = np.ones((99, 1))
    np.testing.assert_allclose(
        by.studentized(replicates, se, estimate, np.array([2.0]), 0.05).T, [[-70, 110]]
    )
    centred = by.bca(replicates, np.array([50.0]), 0.05, np.array([[-1.0], [0.0], [1.0]]))
    np.testing.assert_allclose(centred.T, [[5, 95]], atol=0.5)
    shifted = by.bca(replicates, estimate, 0.05, np.array([[-1.0], [0.0], [1.0]]))
    assert (shifted < centred).all()


@pytest.mark.slow
def test_five_thousand_replicates_by_lme4():
    """Means, standard deviations and quantiles of `bootMer`, summarised in tests/reference/bootmer.json.

    Two sets of 5,000 replicates: means differ by 0.02 sd, and sds by 1.4%, in one standard error. Five, on 24
    numbers, are passed by chance less than once in 10,000 times. Quantiles have wider errors.
    """
    truth = json.loads((Path(__file__).parents[1] / "reference" / "bootmer.json").read_text())
    data = jm.datasets.load("sleepstudy")
    boot = jm.lmer("Reaction ~ Days + (Days | Subject)", data, reml=False).bootstrap(5000, key=1)
    table = boot.to_frame()[truth["parameters"]]
    sd = np.array(truth["sd"])
    np.testing.assert_allclose(boot.estimates[truth["parameters"]], truth["estimate"], rtol=2e-3)
    assert (np.abs(table.mean() - truth["mean"]) < 5 * 0.02 * sd).all()
    np.testing.assert_allclose(table.std(), sd, rtol=5 * 0.014)
    for level, name in ((0.025, "q025"), (0.975, "q975")):
        assert (np.abs(table.quantile(level) - truth[name]) < 0.2 * sd).all()


def test_an_interrupt_keeps_what_is_done():
    from jaxmixed.frame._batches import in_pieces

    def work(first, count):
        if first == 20:
            raise KeyboardInterrupt
        return first, count

    with pytest.warns(jm.InterruptedWarning, match="20 of 35 were done"):
        assert in_pieces(work, 35, 10, progress=False) == [(0, 10), (10, 10)]
    assert in_pieces(work, 15, 10, progress=False) == [(0, 10), (10, 5)]
    with pytest.raises(KeyboardInterrupt):
        in_pieces(lambda first, count: work(20, count), 35, 10, progress=False)
