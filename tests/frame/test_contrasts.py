"""The hypotheses of an analysis of variance, by the F statistics they lead to in lmerTest.

F statistics are those at the reference's theta, so that nothing is fitted here.
"""

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from catalog import Case, case, cases
from scipy.optimize import minimize_scalar

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.frame._contrasts import term_contrasts
from jaxmixed.frame._data import model_frame

# anova(lmer(...), type = 2) in R 4.2.2 with lmerTest 3.1-3 and lme4 1.1-31; type 3 is in the reference files.
TYPE_2 = {
    "cake_split_plot": {
        "recipe": (2, 1.57805344),
        "temperature": (5, 20.51986053),
        "recipe:temperature": (10, 1.00619799),
    },
    "oats": {
        "nitro": (1, 115.77126041),
        "Variety": (2, 1.94225312),
        "nitro:Variety": (2, 0.49881482),
    },
    "gpa_factors": {
        "occasion": (1, 346.52935647),
        "sex": (1, 3.63330211),
        "job": (2, 29.51796582),
        "occasion:sex": (1, 7.00246293),
    },
}

# F statistics of types 1, 2 and 3 for `unbalanced_cake` with "+ (1 | replicate)", by the same versions.
UNBALANCED = {
    "recipe * temperature": (
        [10.4368798706, 11.7391954154, 0.9323393747],
        [4.0159213434, 11.7391954154, 0.9323393747],
        [4.0417251263, 11.6759360419, 0.9323393747],
    ),
    "recipe * t + I(t**2)": (
        [10.3101448123, 53.5627119747, 0.3581175746, 0.2170259830],
        [3.4773801742, 53.4534281376, 0.3154509472, 0.2170259830],
        [3.4773801742, 52.3980264687, 0.3154509472, 0.2170259830],
    ),
    "0 + recipe * t": (
        [134.6389751569, 53.8095185933, 0.2431938079],
        [130.0141902494, 53.8095185933, 0.2431938079],
        [130.0141902494, 52.8209153863, 0.2431938079],
    ),
    "recipe * poly(t, 2)": (
        [10.2300806093, 26.7600519776, 0.2135561982],
        [4.0225084974, 26.7600519776, 0.2135561982],
        [3.0492015140, 16.4888423214, 0.2135561982],
    ),
    "recipe / t": ([10.35502806, 18.09367695], [3.92199675, 18.09367695], [3.92199675, 18.09367695]),
    "recipe / temperature": (
        [10.436879775, 5.089640394],
        [15.605386800, 5.089640394],
        [15.605386800, 5.089640394],
    ),
    "C(recipe, contr.sum) * C(temperature, contr.sum)": (
        [10.4368799665, 11.7391955247, 0.9323393824],
        [4.0159213810, 11.7391955247, 0.9323393824],
        [4.0417251641, 11.6759361507, 0.9323393824],
    ),
}


def f_statistics(frame, theta, type) -> dict[str, tuple[int, float]]:
    """Return rank and F of each term, at a REML theta."""
    estimates = core.estimates(np.asarray(theta), core.suffstats(frame.design), True)
    found = {}
    for term, L in term_contrasts(frame, type).items():
        effect, V = L @ estimates.beta, L @ estimates.vcov @ L.T
        found[term] = (len(L), float(effect @ np.linalg.solve(V, effect)) / max(len(L), 1))
    return found


@pytest.fixture(scope="module")
def unbalanced_cake():
    """Return the cakes less every seventh and two cells."""
    cake = case("cake_split_plot").data()
    missing = ((cake.recipe == "B") & (cake.temperature == "225")) | (
        (cake.recipe == "A") & (cake.temperature == "175")
    )
    kept = cake[(np.arange(len(cake)) % 7 != 3) & ~missing]
    return kept.assign(t=(kept.temperature.astype(str).astype(float) - 200) / 10)


def quiet_frame(formula, data, weights=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return model_frame(formula, data, weights)


def best_theta(frame) -> np.ndarray:
    stats = core.suffstats(frame.design)
    found = minimize_scalar(lambda x: float(core.criterion(np.array([x]), stats)), (0.1, 1), tol=1e-12)
    return np.array([abs(found.x)])


def case_frame(case: Case):
    return quiet_frame(case.formula, case.data(), case.weights)


@pytest.mark.parametrize("type", [1, 3])
@pytest.mark.parametrize("case", cases())
def test_lmertest(case, type):
    truth = case.fits["REML"][f"anova_type{type}"]["satterthwaite"]
    frame = case_frame(case)
    found = f_statistics(frame, case.fits["REML"]["theta"], type)
    if not truth:
        assert found == {}
        return
    names = [name.replace("^", " ** ") for name in truth["terms"]]
    assert sorted(found) == sorted(names)
    for name, df, F in zip(names, truth["num_df"], truth["F"], strict=True):
        assert found[name][0] == (df or 0), name
        if df:
            np.testing.assert_allclose(found[name][1], F, rtol=case.tolerance["suggested"]["vcov_rel"])


@pytest.mark.parametrize("name", TYPE_2)
def test_type_2(name):
    reference = case(name)
    found = f_statistics(case_frame(reference), reference.fits["REML"]["theta"], 2)
    assert list(found) == list(TYPE_2[name])
    for term, (df, F) in TYPE_2[name].items():
        assert found[term][0] == df
        np.testing.assert_allclose(found[term][1], F, rtol=reference.tolerance["suggested"]["vcov_rel"])


@pytest.mark.parametrize("formula", UNBALANCED)
def test_unbalanced_data_with_missing_cells(formula, unbalanced_cake):
    frame = quiet_frame(f"angle ~ {formula} + (1 | replicate)", unbalanced_cake)
    theta = best_theta(frame)
    for type, expected in zip((1, 2, 3), UNBALANCED[formula], strict=True):
        found = f_statistics(frame, theta, type)
        np.testing.assert_allclose([F for _, F in found.values()], expected, rtol=1e-6)


def test_confounded_factors_have_no_type_3_in_other_contrasts(unbalanced_cake):
    formula = "angle ~ C(recipe, contr.sum) / C(temperature, contr.sum) + (1 | replicate)"
    frame = quiet_frame(formula, unbalanced_cake)
    with pytest.raises(jm.DataError, match="expected treatment contrasts"):
        term_contrasts(frame, 3)
    assert len(term_contrasts(frame, 2)) == 2


def test_hypotheses_do_not_depend_on_the_coding(cake):
    """Another coding of the factors changes beta, not the hypotheses."""
    cake = cake[np.arange(len(cake)) % 5 != 1].assign(x=np.cos(np.arange(216)))
    plain = model_frame("angle ~ recipe * temperature * x + (1 | replicate)", cake)
    for coding in ("contr.sum", "contr.helmert", "contr.poly", "contr.treatment('C')"):
        formula = f"angle ~ C(recipe, {coding}) * temperature * x + (1 | replicate)"
        other = quiet_frame(formula, cake)
        for type in (1, 2, 3):
            one, two = (list(f_statistics(f, [0.7], type).values()) for f in (plain, other))
            np.testing.assert_allclose(two, one, rtol=1e-6)


def test_sequential_contrasts_are_exact():
    """Type 1 rows of small integers, against the LU decomposition of X'X in fractions."""
    rng = np.random.default_rng(5)
    data = {"x": rng.integers(0, 9, 40), "z": rng.integers(0, 9, 40), "g": np.repeat(np.arange(8), 5)}
    frame = model_frame("y ~ x * z + (1 | g)", pd.DataFrame({**data, "y": rng.normal(size=40)}))
    U = [[Fraction(int(v)) for v in row] for row in frame.design.X.T @ frame.design.X]
    for i in range(4):
        for j in range(i + 1, 4):
            factor = U[j][i] / U[i][i]
            U[j] = [a - factor * b for a, b in zip(U[j], U[i], strict=True)]
    expected = np.array([[float(v / U[i][i]) for v in U[i]] for i in range(4)])
    found = np.concatenate(list(term_contrasts(frame, 1).values()))
    np.testing.assert_allclose(found, expected[1:], rtol=1e-9, atol=1e-12)


def test_badly_scaled_covariates_lose_nothing():
    """Covariates of size 1e6 about 1e9: the hypotheses are those of the standardised ones."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=200)
    z = 0.5 * x + rng.normal(size=200)
    f, g = rng.choice(list("abc"), 200), np.repeat(np.arange(20), 10)
    small = pd.DataFrame({"y": rng.normal(size=200), "x": x, "z": z, "f": f, "g": g})
    large = small.assign(x=1e9 + 1e6 * x, z=1e9 + 1e6 * z)
    for type in (1, 2):
        one, two = (
            term_contrasts(model_frame("y ~ x + z + f + (1 | g)", data), type) for data in (small, large)
        )
        scale = np.array([1, 1e6, 1e6, 1, 1])
        for term in ("x", "z"):
            np.testing.assert_allclose(two[term] * 1e6 / scale, one[term], rtol=1e-7, atol=1e-9)


def test_a_model_without_terms_has_none():
    data = jm.datasets.load("Dyestuff")
    for type in (1, 2, 3):
        assert term_contrasts(model_frame("Yield ~ 1 + (1 | Batch)", data), type) == {}


def test_an_unknown_type_is_an_error():
    frame = model_frame("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))
    with pytest.raises(jm.DataError, match="type is 4; expected one of 1, 2, 3"):
        term_contrasts(frame, 4)
