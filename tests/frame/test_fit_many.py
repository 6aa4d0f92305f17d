"""Every response of `fit_many` has the numbers that `refit`, or `lmer` of the same rows, gives it."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm
from jaxmixed.frame import _one_design
from jaxmixed.frame._many import benjamini_hochberg

FORMULA = "~ Days + (1 | Subject)"


def lmer(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(formula, data, **options)


def assert_equal(fits, name, single, ddf="satterthwaite"):
    """Compare one row of every table with a fit of its own."""
    tidy = single.tidy("fixed", ddf=ddf).set_index("term")
    terms = list(tidy.index)
    np.testing.assert_allclose(fits.criterion[name], single.criterion, rtol=0, atol=1e-7)
    tables = {"params": "estimate", "bse": "std_error", "tvalues": "statistic", "df": "df"}
    for table, column in tables.items():
        np.testing.assert_allclose(getattr(fits, table).loc[name, terms], tidy[column], rtol=1e-5)
    np.testing.assert_allclose(fits.pvalues.loc[name, terms], tidy["p_value"], rtol=1e-4)
    np.testing.assert_allclose(fits.theta.loc[name].dropna(), single.theta, rtol=1e-5, atol=1e-6)
    varcorr = np.append(single.varcorr()["sd"].to_numpy()[:1], single.sigma)
    np.testing.assert_allclose(fits.varcorr.loc[name].iloc[[0, -1]], varcorr, rtol=1e-5, atol=1e-5)
    assert fits.nobs[name] == single.nobs
    assert fits.singular[name] == single.is_singular
    assert fits.params.loc[name].drop(terms).isna().all()


@pytest.fixture(scope="module")
def responses():
    """Return the sleep study's response with noise, and some that are odd, by name."""
    sleepstudy = jm.datasets.load("sleepstudy")
    rng = np.random.default_rng(0)
    y = sleepstudy["Reaction"].to_numpy()
    Y = pd.DataFrame(y[:, None] + 30 * rng.normal(size=(180, 20))).add_prefix("y")
    Y["noise"] = rng.normal(size=180)
    Y["two missing"], Y["same missing"] = Y["y0"].where(np.arange(180) > 1), Y["y1"].where(np.arange(180) > 1)
    Y["one subject less"] = Y["y2"].where(sleepstudy["Subject"] != 308)
    Y["one day"] = Y["y3"].where(sleepstudy["Days"] == 4)
    Y["day 4 and a row"] = Y["y3"].where((sleepstudy["Days"] == 4) | (np.arange(180) == 20))
    Y["first days"] = Y["y3"].where(sleepstudy["Days"] < 2)
    Y["constant"], Y["zero"], Y["line"] = 3.0, 0.0, 2.0 * sleepstudy["Days"] + 1
    Y["nothing"], Y["infinite"] = np.nan, Y["y4"].where(np.arange(180) != 4, np.inf)
    return Y


@pytest.fixture(scope="module")
def many(responses):
    return jm.fit_many(FORMULA, jm.datasets.load("sleepstudy"), responses)


def test_complete_responses(many, responses, intercept_fit):
    for name in ("y0", "y7", "y19", "noise"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jm.SingularFitWarning)
            assert_equal(many, name, intercept_fit.refit(responses[name]))
    assert many.singular["noise"] and many.status["noise"] == "converged"
    assert list(many.status.index) == list(responses)
    assert list(many.varcorr) == ["sd(Intercept | Subject)", "sigma"]
    assert list(many.theta) == ["theta(Intercept | Subject)"]


@pytest.mark.parametrize("name", ["two missing", "same missing", "one subject less", "first days"])
def test_missing_values(many, responses, sleepstudy, name):
    single = lmer("Reaction ~ Days + (1 | Subject)", sleepstudy.assign(Reaction=responses[name]))
    assert_equal(many, name, single)
    assert many.n_dropped[name] == single.frame.n_dropped
    assert many.status[name] == "converged"


def test_terms_that_depend_on_others_are_left_out(sleepstudy, responses):
    """With a day or two of each subject only, columns of X depend on others."""
    with pytest.raises(ValueError) as error:
        lmer("Reaction ~ Days + (1 | Subject)", sleepstudy.assign(Reaction=responses["one day"]))
    late = (sleepstudy["Days"] > 1).astype(float)
    data = sleepstudy.assign(late=late)
    fits = jm.fit_many("~ Days + late + (1 | Subject)", data, responses[["y0", "first days", "one day"]])
    single = lmer("y ~ Days + late + (1 | Subject)", data.assign(y=responses["first days"]))
    assert single.frame.aliased == ("late",)
    assert_equal(fits, "first days", single)
    assert fits.status["first days"] == "converged: left out late"
    assert fits.status["one day"] == str(error.value)


def test_what_cannot_be_fitted_says_why(many):
    said = {
        "constant": "the response is constant",
        "zero": "the response is constant",
        "line": "the fixed effects fit the response exactly",
        "nothing": "the response is missing in every row",
        "infinite": "the response has infinite values",
    }
    for name, reason in said.items():
        assert many.status[name] == reason
        assert np.isnan(many.params.loc[name]).all() and np.isnan(many.criterion[name])
        assert many.failures[reason] == (2 if "constant" in reason else 1)
    assert "  2 failed: the response is constant" in many.summary()
    assert "of which singular" in repr(many)
    assert sum(many.failures.values()) == (~many.status.str.startswith("converged")).sum()


def test_forms_of_responses_and_blocks(many, responses, sleepstudy, monkeypatch):
    """Arrays, polars, names and iterators say the same, whatever the size of the blocks."""
    polars = pytest.importorskip("polars")
    monkeypatch.setattr(_one_design, "MOST", 16)
    names, Y = list(responses), responses.to_numpy()
    beside = sleepstudy.assign(**responses)
    forms = [Y, polars.from_pandas(responses), names, (Y[:, i : i + 5] for i in range(0, Y.shape[1], 5))]
    for form in forms:
        fits = jm.fit_many(FORMULA, beside, form, progress=False)
        np.testing.assert_allclose(fits.criterion, many.criterion, rtol=1e-10)
        np.testing.assert_allclose(fits.pvalues, many.pvalues, rtol=1e-5)
        assert fits.status.tolist() == many.status.tolist()
    assert jm.fit_many(FORMULA, beside, names[:2], progress=False).status.index.tolist() == names[:2]


def test_the_frame_and_its_adjusted_p_values(many):
    table = many.to_frame(adjust="bh")
    columns = ["response", "term", "estimate", "std_error", "statistic", "df", "p_value", "p_adjusted"]
    assert list(table) == columns and len(table) == 2 * len(many)
    days = table[table["term"] == "Days"].set_index("response")
    np.testing.assert_array_equal(days["estimate"], many.params["Days"])
    by_hand = {}
    known = days["p_value"].dropna().sort_values()
    for i, name in enumerate(known.index):
        by_hand[name] = min(len(known) * p / (j + 1) for j, p in enumerate(known) if j >= i)
    for name, p in days["p_adjusted"].items():
        if name in by_hand:
            np.testing.assert_allclose(p, min(by_hand[name], 1.0), rtol=1e-12)
        else:
            assert np.isnan(p)
    assert "p_adjusted" not in many.to_frame()
    with pytest.raises(jm.DataError, match="'bh'"):
        many.to_frame("holm")


def test_benjamini_hochberg_by_hand():
    p = np.array([[0.04, 0.5], [0.01, np.nan], [np.nan, np.nan], [0.03, 0.9]])
    expected = [[0.04, 0.9], [0.03, np.nan], [np.nan, np.nan], [0.04, 0.9]]
    np.testing.assert_allclose(benjamini_hochberg(p), expected)


def test_one_row_a_response(many):
    table = many.glance()
    assert list(table)[:2] == ["sd(Intercept | Subject)", "sigma"]
    assert list(table)[2:] == ["criterion", "nobs", "n_dropped", "singular", "status"]
    assert table.loc["two missing", ["nobs", "n_dropped"]].tolist() == [178, 2]


def test_results_on_disk(many, responses, sleepstudy, tmp_path, monkeypatch):
    monkeypatch.setattr(_one_design, "MOST", 16)
    saved = jm.fit_many(FORMULA, sleepstudy, responses, path=tmp_path / "fits", progress=False)
    assert repr(saved).endswith("files=2)")
    back = jm.SavedFits(tmp_path / "fits").read()
    assert (back.formula, back.reml, back.ddf) == (many.formula, many.reml, many.ddf)
    for name in ("params", "bse", "tvalues", "df", "pvalues", "varcorr", "theta"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(many, name), rtol=1e-6)
    for name in ("criterion", "nobs", "n_dropped", "singular"):
        pd.testing.assert_series_equal(getattr(back, name), getattr(many, name), rtol=1e-10)
    assert back.status.tolist() == many.status.tolist()
    pd.testing.assert_frame_equal(saved.to_frame("bh"), many.to_frame("bh"), rtol=1e-4, atol=1e-12)
    assert [len(part) for part in saved] == [16, len(many) - 16]
    with pytest.raises(jm.DataError, match="has results in it"):
        jm.fit_many(FORMULA, sleepstudy, responses, path=tmp_path / "fits")
    with pytest.raises(jm.DataError, match="holds no results"):
        jm.SavedFits(tmp_path)


def test_results_on_disk_need_pyarrow(sleepstudy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(jm.DataError, match="need pyarrow, which is not installed"):
        jm.fit_many(FORMULA, sleepstudy, np.ones((180, 1)), path=tmp_path)


def test_an_interrupt_keeps_what_is_done(many, responses, sleepstudy, monkeypatch):
    monkeypatch.setattr(_one_design, "MOST", 16)

    def interrupted():
        yield responses.iloc[:, :16]
        raise KeyboardInterrupt

    with pytest.warns(jm.InterruptedWarning, match="16 were done"):
        fits = jm.fit_many(FORMULA, sleepstudy, interrupted(), progress=False)
    np.testing.assert_allclose(fits.criterion, many.criterion[:16], rtol=1e-10)


def test_another_data_set_of_the_same_shape_compiles_nothing(many, compiled):
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(31), 7)
    data = pd.DataFrame({"x": rng.normal(size=217), "g": group})
    Y = rng.normal(size=(217, 24)) + rng.normal(size=(31, 24))[group]
    fits = jm.fit_many("~ x + (1 | g)", data, Y)
    assert not compiled and not fits.failures


def test_rows_without_covariates_are_dropped_once(responses, sleepstudy, many):
    data = sleepstudy.assign(Days=sleepstudy["Days"].astype(float).where(np.arange(180) > 1))
    with pytest.warns(jm.DroppedRowsWarning, match="2 of 180 rows"):
        fits = jm.fit_many(FORMULA, data, responses)
    np.testing.assert_allclose(fits.criterion["y0"], many.criterion["two missing"], rtol=1e-10)
    assert (fits.nobs["two missing"], fits.n_dropped["two missing"]) == (178, 2)


CASES = {
    "weights": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", {}),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "Pastes", {}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {}),
    "likelihood": ("Yield ~ 1 + (1 | Batch)", "Dyestuff", {"reml": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_structure(case):
    formula, name, options = CASES[case]
    data, rng = jm.datasets.load(name), np.random.default_rng(2)
    left, right = formula.split("~")
    n, y = len(data), data[left.strip()].to_numpy(float)
    Y = y[:, None] + y.std() * rng.normal(size=(n, 8))
    Y[::9, 5] = Y[::9, 6] = np.nan
    Y[4, 7] = np.nan
    if case == "weights":
        options = {"weights": rng.uniform(0.5, 2, n), "offset": 100 * rng.normal(size=n)}
        data = data.sample(frac=1, random_state=1)
    fits = jm.fit_many(f"~{right}", data, Y, **options)
    for r in (0, 4, 5, 7):
        assert_equal(fits, r, lmer(formula, data.assign(**{left.strip(): Y[:, r]}), **options))
        assert fits.status[r] == "converged"


@pytest.mark.slow
@pytest.mark.parametrize("ddf", ["kenward-roger", "wald", "residual"])
def test_every_method_of_tests(ddf, responses, sleepstudy, intercept_fit):
    fits = jm.fit_many(FORMULA, sleepstudy, responses, ddf=ddf)
    for name in ("y0", "y7"):
        assert_equal(fits, name, intercept_fit.refit(responses[name]), ddf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formula": "Reaction ~ Days + (1 | Subject)"}, "write '~ Days"),
        ({"formula": "~ Days"}, "No random term"),
        ({"formula": "~ Dais + (1 | Subject)"}, "did you mean 'Days'"),
        ({"responses": np.ones(180)}, r"shape \(180,\)"),
        ({"responses": np.ones((3, 180))}, "transpose"),
        ({"responses": np.ones((180, 0))}, "empty"),
        ({"responses": np.ones((180, 2), complex)}, "real numbers"),
        ({"responses": "Reaction"}, r"\['Reaction'\]"),
        ({"responses": ["Reaction", "Reactoin"]}, "did you mean 'Reaction'"),
        ({"responses": ["Reaction", "Reaction"]}, "twice"),
        ({"responses": ["Reaction", "Days"]}, "on the right-hand side too"),
        ({"responses": ["Reaction", "text"]}, "'text' is not numeric"),
        ({"responses": [1, 2]}, "holds 1, of type int"),
        ({"responses": []}, "empty"),
        ({"responses": None}, "NoneType"),
        ({"responses": {"y": 1}}, "of type dict"),
        ({"responses": pd.DataFrame(np.ones((179, 2)))}, "179 rows"),
        ({"responses": pd.DataFrame(np.ones((180, 2)), index=range(1, 181))}, "other row labels"),
        ({"responses": pd.DataFrame({"text": ["a"] * 180})}, "not numeric"),
        ({"responses": iter(["Reaction"])}, "of type str"),
        ({"responses": iter([["Reaction"]])}, "A block of responses is of type list"),
        ({"responses": iter([])}, "empty"),
        ({"ddf": "satterthwait"}, "ddf is 'satterthwait'"),
        ({"ddf": "kenward-roger", "reml": False}, "restricted likelihood"),
        ({"reml": 1}, "reml is 1"),
    ],
)
def test_wrong_calls(sleepstudy, change, message):
    data = sleepstudy.assign(text="a")
    call = {"formula": FORMULA, "data": data, "responses": np.ones((180, 2))} | change
    with pytest.raises(ValueError, match=message):
        jm.fit_many(**call)
