"""What the pictures draw, compared with the tables of the fit or with what is known otherwise."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import jaxmixed as jm
from jaxmixed.plots._contour import contour

plt = pytest.importorskip("matplotlib.pyplot")


def points(ax, i: int) -> np.ndarray:
    return np.asarray(ax.lines[i].get_xydata(), float)


def segments(ax, i: int) -> np.ndarray:
    return np.array(ax.collections[i].get_segments())


def labelled(ax, label: str) -> np.ndarray:
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return np.asarray(line.get_xydata(), float)


# Axes in, axes out


def test_importing_jaxmixed_imports_no_matplotlib():
    program = "import jaxmixed, sys; assert not any(name.startswith('matplotlib') for name in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


def test_without_matplotlib_a_sentence_says_so(intercept_fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'not installed; run: pip install "jaxmixed\[plots\]"'):
        jm.plots.caterpillar(intercept_fit)


def test_pictures_go_where_they_are_wanted_and_change_nothing_else(intercept_fit, profile, boot, power):
    settings = dict(plt.rcParams)
    figure, axes = plt.subplots(4, 5)
    axes = list(axes.flat)
    fit = intercept_fit
    for draw in (
        *("trajectories", "caterpillar", "ranef_density", "ranef_qq", "shrinkage", "coefficients"),
        *("resid_fitted", "scale_location", "resid_qq", "resid_by_group"),
    ):
        ax = axes.pop()
        assert getattr(jm.plots, draw)(fit, ax=ax) is ax
        assert ax.has_data()
    ax = axes.pop()
    assert jm.plots.power_curve(power, ax=ax) is ax
    for drawn in (
        jm.plots.predictions(fit, levels=["308", "335"], axes=[axes.pop(), axes.pop()]),
        jm.plots.profile_zeta(profile, ["sigma"], axes=axes.pop()),
        jm.plots.profile_pairs(profile, ["Days", "sigma"], axes=[axes.pop()]),
        jm.plots.bootstrap_density(boot, ["Days", "sigma"], axes=np.array([axes.pop(), axes.pop()])),
    ):
        assert all(ax.has_data() and ax.figure is figure for ax in drawn)
    assert plt.get_fignums() == [figure.number]
    assert dict(plt.rcParams) == settings


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda fit: jm.plots.trajectories(pd.DataFrame()),
            "fit is of type DataFrame; expected the",
        ),
        (lambda fit: jm.plots.trajectories(fit, "Day"), "x is 'Day'; expected one of 'Days'"),
        (lambda fit: jm.plots.trajectories(fit, bold=0), "bold is 0; expected a whole number"),
        (lambda fit: jm.plots.caterpillar(fit, "Sub"), "group is 'Sub'; expected one of 'Subject'"),
        (
            lambda fit: jm.plots.caterpillar(fit, effect="Days"),
            "effect is 'Days'; expected one of 'Int",
        ),
        (lambda fit: jm.plots.caterpillar(fit, ax=[1]), "ax is of type list; expected one matplotlib Axes"),
        (lambda fit: jm.plots.diagnostics(fit, axes=[1]), "axes has 1 elements; expected 4 matplotlib Axes"),
        (
            lambda fit: jm.plots.predictions(fit, levels=[309]),
            "levels has 309; expected one or more of",
        ),
        (lambda fit: jm.plots.shrinkage(fit, []), "effects is empty; expected one or more of 'Intercept'"),
        (lambda fit: jm.plots.profile_zeta("fit"), "profile is of type str; expected what fit.profile"),
        (lambda fit: jm.plots.bootstrap_density(fit), "boot is of type LmerResult; expected what fit.boot"),
        (
            lambda fit: jm.plots.power_curve(pd.DataFrame({"n": [1]})),
            "a frame with the columns test",
        ),
        (lambda fit: jm.plots.coefficients([fit]), "fits is of type list; expected a result"),
        (lambda fit: jm.plots.coefficients(fit, "x"), "terms has 'x'; expected one or more of 'Intercept'"),
        (lambda fit: jm.plots.influence(7), "found is of type int; expected what fit.influence"),
    ],
)
def test_wrong_calls_are_answered_in_a_sentence(intercept_fit, call, message):
    with pytest.raises(jm.DataError, match=message):
        call(intercept_fit)


def test_a_profile_without_points_or_a_partner_is_named(profile):
    with pytest.raises(jm.DataError, match="parm has 'Day'; expected one or more of 'Intercept', 'Days'"):
        jm.plots.profile_zeta(profile, "Day")
    with pytest.raises(jm.DataError, match="are 'Days'; expected two or more"):
        jm.plots.profile_pairs(profile, ["Days"])


# Rows


def test_trajectories_are_the_rows_and_the_trend_is_the_fixed_part(slope_fit, sleepstudy):
    ax = jm.plots.trajectories(slope_fit, bold=3)
    every, *bold = (points(ax, i) for i in range(4))
    drawn = every[np.isfinite(every).all(axis=1)]
    rows = sleepstudy.sort_values(["Subject", "Days"])
    np.testing.assert_allclose(drawn, rows[["Days", "Reaction"]])
    assert len(every) == len(rows) + 18  # a gap after each path
    paths = [group[["Days", "Reaction"]].to_numpy() for _, group in rows.groupby("Subject", observed=True)]
    for path in bold:
        assert any(np.array_equal(path, other) for other in paths)
    trend = labelled(ax, "overall trend")
    intercept, slope = slope_fit.params
    np.testing.assert_allclose(trend[:, 1], intercept + slope * trend[:, 0])


def test_paths_go_through_means_of_repeated_rows_and_factors_name_their_ticks():
    cake = jm.datasets.load("cake")
    fit = jm.lmer("angle ~ temperature + (1 | replicate)", cake)
    ax = jm.plots.trajectories(fit, bold=20)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(cake["temperature"].cat.categories)
    means = cake.groupby(["replicate", "temperature"], observed=True)["angle"].mean()
    drawn = points(ax, 0)
    np.testing.assert_allclose(drawn[np.isfinite(drawn[:, 1]), 1], means)


def test_predictions_are_those_of_predict(slope_fit, sleepstudy):
    (ax,) = jm.plots.predictions(slope_fit, levels=["309"])
    rows = sleepstudy[sleepstudy["Subject"] == "309"]
    np.testing.assert_allclose(labelled(ax, "observed"), rows[["Days", "Reaction"]])
    for name in ("conditional", "marginal"):
        np.testing.assert_allclose(labelled(ax, name)[:, 1], slope_fit.predict(rows, re=name))
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("Subject 309", "Days", "Reaction")


def test_residuals_are_those_of_augment(slope_fit):
    table = slope_fit.augment()
    over, size, quantiles, by_group = jm.plots.diagnostics(slope_fit)
    np.testing.assert_allclose(points(over, 0), table[["fitted", "resid"]])
    np.testing.assert_allclose(points(size, 0)[:, 1], np.sqrt(table["std_resid"].abs()))
    ordered = points(quantiles, 0)
    np.testing.assert_allclose(ordered[:, 1], np.sort(table["std_resid"]))
    np.testing.assert_allclose(norm.cdf(ordered[:, 0]), (np.arange(180) + 0.5) / 180)
    spread = table.groupby(np.repeat(np.arange(18), 10))["resid"].quantile([0.25, 0.75]).unstack()
    spread = spread.loc[(spread[0.75] - spread[0.25]).sort_values(kind="stable").index]
    drawn = segments(by_group, 0)
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0, 1])][:, :, 0], spread)


# Levels


def test_caterpillar_has_the_intervals_of_ranef_and_those_without_zero_in_bold(slope_fit):
    ax = jm.plots.caterpillar(slope_fit, effect="Days", alpha=0.1)
    table = slope_fit.ranef(0.1).query("effect == 'Days'").sort_values("value")
    clear = (table["lower"] > 0) | (table["upper"] < 0)
    thin, bold = ax.collections
    for i, rows in enumerate((table[~clear], table[clear])):
        np.testing.assert_allclose(segments(ax, i)[:, :, 0], rows[["lower", "upper"]])
    assert 0 < clear.sum() < len(table)
    assert bold.get_linewidth()[0] > 2 * thin.get_linewidth()[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == table["group"].tolist()
    assert ax.get_xlabel() == "Days by Subject: random effect, 90% interval"


def test_density_and_quantiles_of_random_effects(slope_fit):
    ax = jm.plots.ranef_density(slope_fit, effect="Days")
    sd = slope_fit.varcorr().set_index("term").loc["Days", "sd"]
    normal = labelled(ax, f"normal, sd {sd:.3g}")
    np.testing.assert_allclose(normal[:, 1], norm.pdf(normal[:, 0], scale=sd))
    smooth = labelled(ax, "predicted effects")
    assert np.trapezoid(smooth[:, 1], smooth[:, 0]) == pytest.approx(1, abs=0.02)
    values = slope_fit.ranef().query("effect == 'Days'")["value"]
    np.testing.assert_allclose(points(jm.plots.ranef_qq(slope_fit, effect="Days"), 0)[:, 1], np.sort(values))


def test_arrows_lead_from_regressions_of_each_level_to_coef(slope_fit, sleepstudy):
    ax = jm.plots.shrinkage(slope_fit)
    own = jm.lm_by("Reaction ~ Days", sleepstudy, by="Subject").params
    pooled = slope_fit.coef().pivot(index="group", columns="effect", values="value")[["Intercept", "Days"]]
    np.testing.assert_allclose(labelled(ax, "no pooling"), own)
    np.testing.assert_allclose(labelled(ax, "partial pooling"), pooled)
    (arrows,) = ax.collections
    np.testing.assert_allclose(arrows.get_offsets(), own)
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), pooled.to_numpy() - own.to_numpy())


def test_no_pooling_of_an_intercept_is_a_weighted_mean_and_unknown_levels_have_no_arrow(sleepstudy):
    weights = np.random.default_rng(0).uniform(0.5, 2, 180)
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, weights=weights)
    ax = jm.plots.shrinkage(fit)
    rest = sleepstudy["Reaction"] - fit.params["Days"] * sleepstudy["Days"]
    by = np.repeat(np.arange(18), 10)
    means = (rest * weights).groupby(by).sum() / pd.Series(weights).groupby(by).sum()
    np.testing.assert_allclose(points(ax, 18)[:, 1], means)
    np.testing.assert_allclose(points(ax, 19)[:, 1], fit.coef().query("effect == 'Intercept'")["value"])

    short = sleepstudy.drop(index=range(1, 10))  # one row of the first subject
    fit = jm.lmer("Reaction ~ Days + (Days | Subject)", short)
    ax = jm.plots.shrinkage(fit)
    assert len(ax.collections[0].get_offsets()) == 17
    assert np.isnan(labelled(ax, "no pooling")[0]).all()


def test_influence_is_in_order_and_marks_what_lies_beyond_the_limit(influence):
    ax = jm.plots.influence(influence)
    np.testing.assert_allclose(
        np.sort(np.concatenate([segments(ax, i)[:, 1, 0] for i in range(2) if len(segments(ax, i))])),
        influence.cooks_distance.sort_values(),
    )
    ax = jm.plots.influence(influence, "Days")
    values = influence.dfbetas["Days"]
    beyond = values[values.abs() > 2 / np.sqrt(18)].sort_values()
    assert 0 < len(beyond) < 18
    np.testing.assert_allclose(segments(ax, 1)[:, 1, 0], beyond)


# Parameters


def test_zeta_goes_through_the_points_and_marks_profile_intervals(profile):
    axes = jm.plots.profile_zeta(profile)
    limits = profile.conf_int()
    for ax, (label, rows) in zip(axes, profile.points.groupby("parameter", sort=False), strict=True):
        assert ax.get_xlabel() == label
        np.testing.assert_allclose(points(ax, -1), rows[["value", "zeta"]])
        marks = [segments(ax, i)[0][0, 0] for i in range(2)]
        np.testing.assert_allclose(marks, limits.loc[label], atol=2e-3 * np.ptp(limits.loc[label]))


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6])
def test_contours_of_a_quadratic_are_ellipses(rho):
    across, up = contour(lambda tau: rho * tau, lambda tau: rho * tau, 1.7)
    height = (across**2 - 2 * rho * across * up + up**2) / (1 - rho**2)
    np.testing.assert_allclose(height, 1.7**2)
    assert [across.max(), up.max(), across.min(), up.min()] == pytest.approx([1.7, 1.7, -1.7, -1.7], abs=2e-3)


@pytest.mark.slow
def test_the_deviance_along_a_contour_is_what_it_should_be(sleepstudy, intercept_fit, profile):
    (ax,) = jm.plots.profile_pairs(profile, ["Intercept", "Days"])
    lowest = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, reml=False).criterion
    for line, coverage in zip(ax.lines, (0.5, 0.8, 0.95), strict=False):
        for intercept, slope in np.asarray(line.get_xydata())[::30]:
            held = sleepstudy.assign(held=intercept + slope * sleepstudy["Days"])
            fit = jm.lmer("Reaction ~ 0 + offset(held) + (1 | Subject)", held, reml=False)
            assert fit.criterion - lowest == pytest.approx(-2 * np.log(1 - coverage), rel=0.03)


def test_traces_are_the_best_values_of_the_other_parameter(profile):
    (ax,) = jm.plots.profile_pairs(profile, ["Intercept", "sd(Intercept | Subject)"])
    rows = profile.points[profile.points["parameter"] == "Intercept"]
    np.testing.assert_allclose(points(ax, 3), rows[["value", "sd(Intercept | Subject)"]])


def test_bootstrap_densities_and_their_intervals(boot):
    axes = jm.plots.bootstrap_density(boot, alpha=0.2, method="basic")
    limits = boot.conf_int(0.2, "basic")
    for ax, label in zip(axes, limits.index, strict=True):
        values = boot.to_frame()[label]
        curve = points(ax, 0)
        assert [curve[0, 0], curve[-1, 0]] == [values.min(), values.max()]
        assert 0.9 < np.trapezoid(curve[:, 1], curve[:, 0]) <= 1
        np.testing.assert_allclose(segments(ax, -1)[0][:, 0], limits.loc[label])
        assert points(ax, 1)[0, 0] == boot.estimates[label]


def test_power_has_a_line_and_a_band_for_each_test(power):
    class Curve:
        def to_frame(self):
            return power.iloc[::-1]

    ax = jm.plots.power_curve(Curve(), target=0.9)
    assert points(ax, 0)[0, 1] == 0.9
    for i, (test, rows) in enumerate(power.groupby("test", sort=False)):
        np.testing.assert_allclose(labelled(ax, test), rows[["groups", "power"]])
        (band,) = ax.collections[1 - i].get_paths()
        for low, high, n in rows[["conf_low", "conf_high", "groups"]].itertuples(index=False):
            at = band.vertices[band.vertices[:, 0] == n, 1]
            assert (at.min(), at.max()) == pytest.approx((low, high))
    assert (ax.get_xlabel(), ax.get_ylabel(), list(ax.get_xticks())) == ("groups", "Power", [10, 20, 40])


def test_coefficients_are_those_of_tidy(slope_fit, sleepstudy):
    regression = jm.lm("Reaction ~ Days", sleepstudy)
    ax = jm.plots.coefficients({"mixed": slope_fit, "lm": regression}, ["Days", "Intercept"], alpha=0.1)
    tables = slope_fit.tidy("fixed", alpha=0.1), regression.tidy(0.1)
    for i, (name, table) in enumerate(zip(("mixed", "lm"), tables, strict=True)):
        table = table.set_index("term").loc[["Days", "Intercept"]]
        np.testing.assert_allclose(labelled(ax, name)[:, 0], table["estimate"])
        np.testing.assert_allclose(segments(ax, i)[:, :, 0], table[["conf_low", "conf_high"]])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Days", "Intercept"]
    alone = jm.plots.coefficients(slope_fit)
    assert [tick.get_text() for tick in alone.get_yticklabels()] == ["Days"]
    assert alone.get_legend() is None


@pytest.mark.parametrize("formula", ["Yield ~ 1 + (1 | Batch)"])
def test_a_variance_of_zero_is_drawn_too(formula):
    with pytest.warns(jm.SingularFitWarning):
        fit = jm.lmer(formula, jm.datasets.load("Dyestuff2"))
    ax = jm.plots.ranef_density(fit)
    assert [text.get_text() for text in ax.texts] == ["variance zero"]
    assert (points(jm.plots.ranef_qq(fit), 0)[:, 1] == 0).all()
    assert len(jm.plots.profile_pairs(fit)) == 3
