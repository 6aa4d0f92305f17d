"""Marginal means, contrasts, slopes and hypotheses of our fits, by the package marginaleffects."""

import sys
import warnings

import catalog
import jax
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

import jaxmixed as jm

# The package learns a factor's levels by a polars function on its way out.
pytestmark = [
    pytest.mark.usefixtures("x64"),
    pytest.mark.filterwarnings("ignore:`cat.get_categories:DeprecationWarning"),
]

EXACT = {"eps_vcov": 1.0}  # predictions are linear in beta


@pytest.fixture(scope="module")
def me():
    """Return the package, after undoing what it does to JAX on import."""
    before = jax.config.jax_enable_x64
    import marginaleffects

    # Imported when first asked for. With one comes what turns on double precision; the other must come
    # before the module of its name.
    assert marginaleffects.comparisons and marginaleffects.datagrid
    jax.config.update("jax_enable_x64", before)
    return marginaleffects


@pytest.fixture(scope="module", params=["cake_split_plot", "oats_factorial"])
def means_case(request):
    """Return a case with marginal means, its fit, the factor they are of, and emmeans' tables."""
    case = catalog.case(request.param)
    tables = case.raw["extras"]["emmeans"]
    return jm.lmer(case.formula, case.data()), tables["satterthwaite"]["spec"].removeprefix("~ "), tables


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Return the sleep study with covariates of every kind, and names that need quoting."""
    rng = np.random.default_rng(11)
    k = rng.integers(1, 4, 180)
    return jm.datasets.load("sleepstudy").assign(
        **{"x y": rng.uniform(1, 3, 180), "d.t": rng.normal(size=180)},
        w=rng.uniform(size=180),
        k=k,
        text=np.array(["c", "a", "b"])[k - 1],
        number=pd.Categorical(k, categories=[3, 1, 2]),
        flag=rng.uniform(size=180) > 0.5,
        range=pd.cut(rng.uniform(0, 4, 180), [0, 1.5, 2, 4]),
        group=jm.datasets.load("sleepstudy")["Subject"],
    )


def quietly(*args, **options) -> jm.LmerResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(*args, **options)


def column(result, name: str = "estimate") -> np.ndarray:
    return result[name].to_numpy()


def errors_of(L: np.ndarray, fit: jm.LmerResult) -> np.ndarray:
    return np.sqrt(np.diag(L @ fit.cov_params().to_numpy() @ L.T))


# --- against emmeans


def test_marginal_means(me, means_case):
    fit, factor, tables = means_case
    found = me.avg_predictions(fit.to_marginaleffects(), newdata="balanced", by=factor)
    for method, expected in tables.items():
        assert found[factor].to_list() == expected["levels"]
        np.testing.assert_allclose(column(found), expected["emmean"], rtol=1e-8)
        np.testing.assert_allclose(column(found, "std_error"), expected["se"], rtol=1e-6)
        tests = fit.wald_test(found.jacobian, method.replace("_", "-")).table
        np.testing.assert_allclose(tests["df"], expected["df"], rtol=1e-4)


def test_pairwise_contrasts(me, means_case):
    fit, factor, tables = means_case
    expected = tables["kenward_roger"]["pairwise_unadjusted"]
    model = fit.to_marginaleffects(df=expected["df"][0])
    found = me.avg_comparisons(model, newdata="balanced", variables={factor: "revpairwise"})
    assert found["contrast"].to_list() == [pair.replace(factor, "") for pair in expected["contrast"]]
    names = {
        "estimate": "estimate",
        "std_error": "se",
        "p_value": "p",
        "conf_low": "lower",
        "conf_high": "upper",
    }
    for ours, theirs in names.items():
        np.testing.assert_allclose(column(found, ours), expected[theirs], rtol=2e-6, atol=1e-14)
    pairs = "difference ~ revpairwise"
    again = me.avg_predictions(model, newdata="balanced", by=factor, hypothesis=pairs, **EXACT)
    for name in names:
        np.testing.assert_allclose(column(again, name), column(found, name), rtol=1e-8, atol=1e-13)


def test_contrasts_within_the_levels_of_another_factor(me):
    case = catalog.case("cake_split_plot")
    fit = jm.lmer(case.formula, case.data())
    found = me.avg_comparisons(
        fit.to_marginaleffects(), newdata="balanced", variables={"recipe": ["A", "C"]}, by="temperature"
    ).sort("temperature")
    cells = pd.DataFrame({"temperature": found["temperature"].to_list()})
    low, high = (fit.predict(cells.assign(recipe=recipe), re="marginal") for recipe in "AC")
    np.testing.assert_allclose(column(found), high - low, rtol=1e-10)
    L = np.array(
        [
            [("T.C" in name) * (":" not in name or t in name) for name in fit.params.index]
            for t in cells.temperature
        ],
        float,
    )
    np.testing.assert_allclose(column(found, "std_error"), errors_of(L, fit), rtol=1e-10)


# --- predictions

COVARIATES = {
    "log(Reaction) ~ log(`x y`) + poly(Days, 2) + (1 | Subject)": ["x y", "Days"],
    "Reaction ~ text * Days + `d.t` + (Days | Subject)": ["text", "Days", "d.t"],
    "Reaction ~ 0 + number + (1 | Subject)": ["number"],
    "Reaction ~ C(k) + (1 | Subject)": ["k"],
    "Reaction ~ flag + I(2 * flag):Days + (1 | text/Subject)": ["flag", "Days"],
    "Reaction ~ range + (1 | Subject)": ["range"],
    "Reaction ~ twice(Days) + I(3 * Days) + k + (1 | group)": ["Days", "k"],
    "Reaction ~ 1 + (1 | Subject)": None,
}


@pytest.mark.parametrize("formula", COVARIATES)
def test_predictions_are_those_of_the_population(me, rows, formula):
    fit = quietly(formula, rows, context={"twice": lambda x: 2 * x})
    model = fit.to_marginaleffects()
    assert model.find_predictors() == COVARIATES[formula]
    found = me.predictions(model)
    np.testing.assert_allclose(column(found), fit.predict(re="marginal"), rtol=1e-12)
    np.testing.assert_allclose(column(found, "std_error"), errors_of(fit.frame.design.X, fit), rtol=1e-10)
    np.testing.assert_allclose(
        column(me.avg_predictions(model)), fit.predict(re="marginal").mean(), rtol=1e-12
    )
    if COVARIATES[formula]:
        given = rows[COVARIATES[formula]].iloc[5:9]
        plain = given.assign(range=given["range"].astype(str)) if "range" in given else given
        expected = fit.predict(given, re="marginal")
        np.testing.assert_allclose(column(me.predictions(model, newdata=plain)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "label", "levels"),
    [
        ("text", "c - a", ["a", "c"]),
        ("number", "3 - 1", [1, 3]),
        ("C(k)", "3 - 1", [1, 3]),
        ("flag", "True - False", [False, True]),
        ("range", "(2.0, 4.0] - (0.0, 1.5]", None),
    ],
)
def test_factors_of_every_type_are_compared_by_level(me, rows, name, label, levels):
    fit = quietly(f"Reaction ~ {name} + Days + (1 | Subject)", rows)
    name = name.removeprefix("C(").removesuffix(")")
    model = fit.to_marginaleffects()
    found = me.avg_comparisons(model, variables=name).filter(contrast=label)
    low, high = levels or (rows["range"].cat.categories[[0, -1]])
    values = [
        fit.predict(rows.assign(**{name: [level] * 180}), re="marginal").mean() for level in (low, high)
    ]
    np.testing.assert_allclose(column(found), values[1] - values[0], rtol=1e-10)
    assert me.avg_predictions(model, by=name)[name].n_unique() == rows[name].nunique()


def test_data_of_the_model(rows):
    fit = quietly(
        "log(Reaction) ~ poly(Days, 2) + text + (1 | Subject) + (1 | group)",
        rows.assign(text=rows["text"].where(rows["w"] > 0.1)),
    )
    data = fit.to_marginaleffects().get_modeldata()
    # A column called "group" is refused by the package.
    assert data.columns == ["log(Reaction)", "Subject", "Days", "text"]
    kept = rows[rows["w"] > 0.1]
    assert 0 < fit.frame.n_dropped == 180 - len(kept)
    np.testing.assert_allclose(data["log(Reaction)"].to_numpy(), np.log(kept["Reaction"]))
    for name in ("Subject", "Days", "text"):
        assert data[name].to_list() == kept[name].to_list()
    assert data["text"].dtype.categories.to_list() == ["a", "b", "c"]


def test_rows_without_a_covariate_are_left_out_but_not_those_without_a_response(
    me, intercept_fit, sleepstudy
):
    new = sleepstudy.iloc[:4].astype({"Days": float})
    new.loc[1, "Days"] = np.nan
    new.loc[2, "Reaction"] = np.nan
    found = me.predictions(intercept_fit.to_marginaleffects(), newdata=new)
    np.testing.assert_allclose(column(found), intercept_fit.predict(new, re="marginal").dropna())


@pytest.mark.parametrize(
    ("formula", "given", "name"),
    [
        ("Reaction ~ Days + offset(50 * w) + (1 | Subject)", None, None),
        ("Reaction ~ Days + (1 | Subject)", "w", "w"),
        ("Reaction ~ Days + offset(w) + (1 | Subject)", 30.0, "(offset)"),
    ],
)
def test_offsets(me, rows, formula, given, name):
    offset = np.linspace(0, given, 180) if isinstance(given, float) else given
    fit = jm.lmer(formula, rows, offset=offset)
    model = fit.to_marginaleffects()
    assert model.find_predictors() == ["Days"]
    found = me.predictions(model, **EXACT)
    np.testing.assert_allclose(column(found), fit.predict(re="marginal"), rtol=1e-12)
    np.testing.assert_allclose(column(found, "std_error"), errors_of(fit.frame.design.X, fit), rtol=1e-10)
    slope = me.avg_comparisons(model, **EXACT)
    np.testing.assert_allclose(
        [column(slope)[0], column(slope, "std_error")[0]], [fit.params["Days"], fit.bse["Days"]]
    )
    if name:
        zero, ten = column(me.predictions(model, newdata=me.datagrid(**{name: [0.0, 10.0]})))
        np.testing.assert_allclose(ten - zero, 10.0)


# --- slopes and hypotheses


@pytest.mark.parametrize(
    "formula",
    ["Reaction ~ Days + (Days | Subject)", "Reaction ~ poly(Days, 3) + log(`x y`):Days + (1 | Subject)"],
)
def test_slopes(me, rows, formula):
    fit = jm.lmer(formula, rows)
    model, h = fit.to_marginaleffects(), 1e-4
    grid = rows.iloc[::40].reset_index(drop=True).drop(columns=["range", "group"])
    found = me.slopes(model, variables="Days", newdata=grid, **EXACT)
    X = [
        model.get_exog(model.get_modeldata()[::40].with_columns(Days=grid["Days"].to_numpy() + by))
        for by in (-h, h)
    ]
    L = (X[1] - X[0]) / (2 * h)
    np.testing.assert_allclose(column(found), L @ fit.params, rtol=1e-6)
    np.testing.assert_allclose(column(found, "std_error"), errors_of(L, fit), rtol=1e-6)
    assert column(me.avg_slopes(model, newdata=grid, variables="Days")) == pytest.approx(column(found).mean())


def test_hypotheses(me, slope_fit):
    model = slope_fit.to_marginaleffects()
    table = me.hypotheses(model)
    assert table["term"].to_list() == ["Intercept", "Days"]
    expected = {
        "estimate": slope_fit.params,
        "std_error": slope_fit.bse,
        "statistic": slope_fit.tvalues,
        "p_value": 2 * ndtr(-slope_fit.tvalues.abs()),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(column(table, name), values, rtol=1e-6, atol=1e-15)
    a, b = slope_fit.params
    V = slope_fit.cov_params().to_numpy()
    ratio = me.hypotheses(model, hypothesis="Days / Intercept = 0")
    gradient = np.array([-b / a**2, 1 / a])
    np.testing.assert_allclose(column(ratio), b / a)
    np.testing.assert_allclose(column(ratio, "std_error"), np.sqrt(gradient @ V @ gradient), rtol=1e-6)
    both = me.hypotheses(slope_fit.to_marginaleffects(df=17), joint=True)
    np.testing.assert_allclose(
        column(both, "statistic"), slope_fit.params @ np.linalg.solve(V, slope_fit.params) / 2
    )
    assert both["df2"].to_list() == [17]


def test_other_covariances(me, slope_fit):
    model = slope_fit.to_marginaleffects()
    V = slope_fit.cov_params()
    for four in (4 * V, 4 * V.to_numpy()):
        found = me.hypotheses(model, vcov=four)
        np.testing.assert_allclose(column(found, "std_error"), 2 * slope_fit.bse, rtol=1e-6)
    assert "std_error" not in me.predictions(model, vcov=False).columns
    for wrong in ("HC3", V.rename(columns={"Days": "days"})):
        with pytest.raises(jm.DataError, match=r"^vcov is ('HC3'|a DataFrame); expected True, False"):
            me.predictions(model, vcov=wrong)


def test_kenward_roger(me, gappy_fit):
    adjusted = gappy_fit.cov_params("kenward-roger")
    new = pd.DataFrame({"Days": [0.0, 20.0]})
    found = me.predictions(gappy_fit.to_marginaleffects(), newdata=new, vcov=adjusted)
    np.testing.assert_allclose(found.jacobian, [[1.0, 0.0], [1.0, 20.0]], atol=1e-12)
    tests = gappy_fit.wald_test(found.jacobian, "kenward-roger").table
    for name in ("estimate", "std_error", "statistic"):
        np.testing.assert_allclose(column(found, name), tests[name], rtol=1e-8)


# --- the rest


def test_plots(me, slope_fit):
    model = slope_fit.to_marginaleffects()
    drawn = me.plot_predictions(model, condition="Days", draw=False)
    np.testing.assert_allclose(
        column(drawn)[[0, -1]], slope_fit.predict(pd.DataFrame({"Days": [0, 9]}), re="marginal")
    )
    assert me.plot_predictions(model, condition={"Days": [0, 5, 9]}).labels.y == "Reaction"


def test_the_fit_is_not_changed(me, slope_fit):
    def state():
        design = slope_fit.frame.design
        return [slope_fit.params, slope_fit.cov_params(), slope_fit.y, design.X, slope_fit.frame.covariates]

    before = [values.copy() for values in state()]
    model = slope_fit.to_marginaleffects()
    model.get_coef()[:] = 0.0
    me.avg_predictions(model, by="Subject")
    me.avg_slopes(slope_fit.to_marginaleffects())
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_another_response_of_the_same_model(me, intercept_fit):
    fit = intercept_fit.refit(2 * intercept_fit.y)
    model = fit.to_marginaleffects()
    np.testing.assert_allclose(model.get_modeldata()["Reaction"].to_numpy(), fit.y)
    np.testing.assert_allclose(column(me.avg_comparisons(model)), 2 * intercept_fit.params["Days"], rtol=1e-6)


def test_errors(me, monkeypatch, intercept_fit):
    with pytest.raises(jm.DataError, match=r"^df is 0; expected a positive number"):
        intercept_fit.to_marginaleffects(df=0)
    with pytest.raises(jm.DataError, match=r"'Days' of the formula .* is not in newdata"):
        me.predictions(intercept_fit.to_marginaleffects(), newdata=pd.DataFrame({"day": [1.0]}))
    monkeypatch.delitem(sys.modules, "jaxmixed.frame._marginaleffects")
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", None)
    with pytest.raises(ImportError, match=r'run: pip install "jaxmixed\[means\]"'):
        intercept_fit.to_marginaleffects()
