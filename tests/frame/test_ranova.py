"""Tests of the random terms, one reduced or removed at a time."""

import warnings

import numpy as np
import pytest
from catalog import case, cases

import jaxmixed as jm

QUICK = ("dyestuff", "dyestuff2", "pastes", "penicillin", "sleep_slope", "sleep_slope_uncorrelated")
TESTED = [
    pytest.param(*p.values, id=p.id, marks=[*p.marks, *([] if p.id in QUICK else [pytest.mark.slow])])
    for p in cases(only=lambda case: case.raw.get("extras", {}).get("ranova"))
]

# ranova(lmer(angle ~ recipe + t + ...)) for the cakes, t = (temp - 200) / 10 and h "hot" above 200, else
# "cold": term, number of parameters and log likelihood, in R 4.2.2 with lmerTest 3.1-3 and lme4 1.1-31.
CAKES = {
    ("(0 + recipe | replicate)", True): [
        ("<none>", 11, -821.1172521105),
        ("recipe in (0 + recipe | replicate)", 6, -829.621197078),
    ],
    ("(0 + t | replicate)", True): [
        ("<none>", 6, -932.744347575),
        ("t in (0 + t | replicate)", 6, -829.621197078),
    ],
    ("(0 + h + recipe | replicate)", True): [
        ("<none>", 15, -819.2060404973),
        ("h in (0 + h + recipe | replicate)", 11, -821.1172521105),
        ("recipe in (0 + h + recipe | replicate)", 8, -828.9791537082),
    ],
    ("(h * t | replicate)", True): [
        ("<none>", 15, -828.2954271123),
        ("h:t in (h * t | replicate)", 11, -828.6735285829),
    ],
    ("(1 | replicate) + (0 + t | replicate)", True): [
        ("<none>", 7, -829.6194621258),
        ("(1 | replicate)", 6, -932.744347575),
        ("t in (0 + t | replicate)", 6, -829.621197078),
    ],
    ("(t | replicate) + (1 | replicate:recipe)", False): [
        ("<none>", 9, -826.7513264991),
        ("(1 | replicate:recipe)", 8, -830.2759335812),
        ("t in (t | replicate)", 7, -827.7754668842),
    ],
}
SINGULAR = 1e-5  # what lme4 leaves of a criterion at the boundary


def quietly(*args, **options) -> jm.LmerResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(*args, **options)


@pytest.mark.parametrize("case", TESTED)
def test_reference(case):
    truth = case.raw["extras"]["ranova"]
    table = quietly(case.formula, case.data(), weights=case.weights).ranova()
    tolerance = case.tolerance["suggested"]["criterion_abs"]
    assert sorted(table["term"]) == sorted(truth["terms"])
    table = table.set_index("term").loc[truth["terms"]]
    assert list(table["n_parameters"]) == truth["n_par"]
    np.testing.assert_allclose(table["llf"], truth["logLik"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(table["aic"], truth["AIC"], rtol=0, atol=tolerance)
    for found, expected, atol in (
        ("statistic", "LRT", 2 * tolerance),
        ("df", "df", 0),
        ("p_value", "p", 1e-3 if case.name == "dyestuff2" else tolerance),  # the root of a statistic of zero
    ):
        assert np.isnan(table[found].iloc[0])
        np.testing.assert_allclose(table[found].iloc[1:], truth[expected][1:], rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize(("random", "reml"), CAKES)
def test_reductions_as_lmertest_makes_them(random, reml):
    data = case("cake_split_plot").data()
    t = (data["temperature"].astype(str).astype(float) - 200) / 10
    data = data.assign(t=t, h=np.where(t > 0, "hot", "cold"))
    table = quietly(f"angle ~ recipe + t + {random}", data, reml=reml).ranova()
    for row, (term, n_parameters, llf) in zip(table.itertuples(), CAKES[random, reml], strict=True):
        assert (row.term, row.n_parameters) == (term, n_parameters)
        np.testing.assert_allclose(row.llf, llf, rtol=0, atol=SINGULAR)
    same_size = table["n_parameters"] == table["n_parameters"].iloc[0]
    assert table.loc[same_size, "p_value"].isna().all()
    assert table.loc[~same_size, "p_value"].between(0, 1).all()


def test_a_diagonal_term_is_a_sum_of_terms(sleepstudy):
    """`||` is tested effect by effect, as its sum is; a factor's columns go together."""
    doubled = jm.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy).ranova()
    summed = jm.lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleepstudy).ranova()
    assert list(doubled["term"]) == ["<none>", "(1 | Subject)", "Days in (0 + Days | Subject)"]
    assert list(doubled["term"]) == list(summed["term"])
    np.testing.assert_allclose(doubled["llf"], summed["llf"], rtol=1e-9)
    data = sleepstudy.assign(half=np.where(sleepstudy["Days"] < 5, "first", "second"))
    factor = quietly("Reaction ~ Days + (half || Subject)", data).ranova()
    assert list(factor["term"]) == ["<none>", "(1 | Subject)", "half in (0 + half | Subject)"]
    assert list(factor["df"].iloc[1:]) == [1, 1]


def test_without_random_terms_it_is_a_regression(intercept_fit, sleepstudy):
    """The smallest model is ordinary least squares, by REML or ML, with weights and an offset."""
    options = {"weights": 1 + np.arange(180.0) % 3, "offset": np.arange(180.0) / 10}
    table = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, reml=False, **options).ranova()
    X = np.column_stack([np.ones(180), sleepstudy["Days"]])
    w, y = options["weights"], sleepstudy["Reaction"] - options["offset"]
    root = np.sqrt(w)
    rss = np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[1][0]
    llf = -90 * (1 + np.log(2 * np.pi * rss / 180)) + np.log(w).sum() / 2
    np.testing.assert_allclose(table["llf"].iloc[1], llf, rtol=1e-12)
    assert table["n_parameters"].iloc[1] == 3
    assert intercept_fit.ranova()["n_parameters"].tolist() == [4, 3]


@pytest.mark.slow
def test_exact_test_of_a_single_variance():
    """The statistic is RLRsim's, the p value within the error of both simulations, 100000 draws there."""
    for name, n in (("dyestuff", 100_000), ("dyestuff2", 100_000), ("sleep_intercept", 100_000)):
        reference = case(name)
        truth = reference.raw["extras"]["exact_rlrt"]
        found = quietly(reference.formula, reference.data()).exact_rlrt(n, key=3)
        np.testing.assert_allclose(found.statistic, truth["statistic"], rtol=0, atol=1e-6)
        error = np.hypot(found.mc_error, np.sqrt(found.p_value * (1 - found.p_value) / truth["nsim"]))
        assert abs(found.p_value - truth["p_simulated"]) <= 3 * error
        assert found.n == n


def test_exact_test_is_refused_where_it_does_not_hold(slope_fit, nested_fit, sleepstudy, intercept_fit):
    with pytest.raises(jm.DataError, match=r"2 kinds \('Intercept of Subject', 'Days of .* use ranova\(\)"):
        slope_fit.exact_rlrt()
    with pytest.raises(jm.DataError, match=r"use ranova\(\)"):
        nested_fit.exact_rlrt()
    with pytest.raises(jm.DataError, match="fit it with reml=True"):
        jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, reml=False).exact_rlrt()
    with pytest.raises(jm.DataError, match="n is 0; expected a whole number"):
        intercept_fit.exact_rlrt(n=0)
    with pytest.raises(jm.DataError, match="key is 'a'"):
        intercept_fit.exact_rlrt(key="a")


def test_the_student_grades():
    reference = case("gpa_intercept")
    truth = reference.raw["extras"]["exact_rlrt"]
    found = jm.lmer(reference.formula, reference.data()).exact_rlrt(2000)
    np.testing.assert_allclose(found.statistic, truth["statistic"], rtol=0, atol=1e-5)
    assert truth["p_simulated"] == 0 and found.p_value == 1 / (found.n + 1)
