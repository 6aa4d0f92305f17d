"""Every mistake gets one sentence, before anything is compiled: found, expected, remedy."""

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import jaxmixed as jm
from jaxmixed.frame import _errors
from jaxmixed.frame._data import model_frame
from jaxmixed.frame._errors import DataError, DroppedRowsWarning, FormulaError
from jaxmixed.frame._newdata import new_design

GOOD = "y ~ x + (1 | g)"


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.normal(size=12),
            "x": np.arange(12.0),
            "f": list("uvw") * 4,
            "g": np.repeat(list("abcd"), 3),
            "w": np.arange(1.0, 13.0),
            "Sepal.Length": np.arange(12.0),
        }
    )


def fails(error, match, formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedRowsWarning)
        with pytest.raises(error, match=match) as caught:
            model_frame(formula, data, **options)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in message and message[-1] in ".?"


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("y ~ xx + (1 | g)", "'xx' .* did you mean 'x'"),
        ("yy ~ x + (1 | g)", "'yy' .* did you mean 'y'"),
        ("y ~ X + (1 | g)", "did you mean 'x'"),
        ("y ~ x + (1 | gg)", "'gg' .* did you mean 'g'"),
        ("y ~ x + (1 | g:h)", "'h' of the formula .* the columns are 'y', 'x'"),
        ("y ~ log(z) + (1 | g)", "'z'"),
        ("y ~ bs(z, df = 4) + (1 | g)", "'z'"),
        ("y ~ log(Sepal.Length) + (1 | g)", "dot into backticks: `Sepal.Length`"),
        ("y ~ x + offset(q) + (1 | g)", "'q'"),
        ("y ~ x + (z | g)", "'z'"),
        ("y ~ log + (1 | g)", "log"),
        ("y ~ log(id) + (1 | g)", "'id' of the formula"),
    ],
)
def test_unknown_columns(data, formula, match):
    fails((DataError, FormulaError), match, formula, data)


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        (123, "of type int"),
        ("y ~ x", r"No random term .* jm\.lm"),
        ("y ~ x + (1 | g", "Unbalanced"),
        ("y ~ 2 * x + (1 | g)", "Cannot read"),
        ("y ~ I(x +* 2) + (1 | g)", "Cannot read"),
        ("y ~ unknown(x) + (1 | g)", "unknown"),
        ("y ~ poly(x, 'a') + (1 | g)", "Cannot evaluate"),
        ("unknown(y) ~ x + (1 | g)", "Cannot evaluate 'unknown"),
        ("np.mean(y) ~ x + (1 | g)", "one value for each row"),
        ("y ~ ns(x, 3) + (1 | g)", "no function 'ns'.* context="),
        ("cbind(x, y) ~ 1 + (1 | g)", "no function 'cbind'"),
        ("y ~ x + y + (1 | g)", "response 'y' is on the right-hand side"),
        ("y ~ x + (y | g)", "response 'y' is on the right-hand side"),
        ("y ~ x + (1 | g) + (1 + x | g)", "'Intercept' more than once"),
    ],
)
def test_formulas(data, formula, match):
    fails(FormulaError, match, formula, data)


def test_bars_in_a_regression(data):
    fails(FormulaError, r"fit a mixed model with jm\.lmer", GOOD, data, random=False)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ([[1, 2], [3, 4]], "of type list"),
        ({"y": [1.0]}, "of type dict"),
        (np.zeros((3, 2)), "of type ndarray"),
        (None, "of type NoneType"),
        (pl.LazyFrame({"y": [1.0]}), "collect"),
    ],
)
def test_data_that_are_no_frame(bad, match):
    fails(DataError, match, GOOD, bad)


def test_duplicate_names(data):
    fails(DataError, "more than one column named 'x'", GOOD, pd.concat([data, data[["x"]]], axis=1))


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (["no"] * 12, "not numeric"),
        ([True, False] * 6, "not numeric"),
        (pd.Categorical(list("ab") * 6), "not numeric"),
        ([3.0] * 12, r"constant \(every value is 3\)"),
        ([np.inf] + [1.0] * 11, "'y' is infinite in 1 of 12 rows"),
        (pd.date_range("2020", periods=12), "dates or times"),
        (np.full(12, 1j), "complex"),
        ([np.nan] * 12, "All 12 rows have a missing value"),
    ],
)
def test_responses(data, response, match):
    fails(DataError, match, GOOD, data.assign(y=response))


def test_response_constant_up_to_the_offset(data):
    fails(DataError, "constant", "y ~ x + offset(y) + (1 | g)", data)


def test_no_rows(data):
    fails(DataError, "no rows", GOOD, data.iloc[:0])


@pytest.mark.parametrize("name", ["y", "x", "g"])
def test_all_rows_missing(data, name):
    fails(DataError, f"All 12 rows .*{name}: 12", GOOD, data.assign(**{name: None}))


def test_infinite_covariates(data):
    fails(DataError, "'x' is infinite in 1 of 12 rows", GOOD, data.assign(x=data.x.replace(3, -np.inf)))
    fails(DataError, r"'log\(x\)' is infinite in 1 of 12", "y ~ log(x) + (1 | g)", data)
    fails(DataError, r"'log\(x - 3\)' is infinite in 4 of 12", "y ~ 1 + (log(x - 3) | g)", data)
    fails(DataError, r"'sqrt\(x - 3\)' is undefined \(NaN\) in 3 of 12", "y ~ sqrt(x - 3) + (1 | g)", data)
    fails(DataError, r"'log\(x\)' is infinite", "log(x) ~ y + (1 | g)", data)
    fails(DataError, "'offset' is infinite", GOOD, data, offset=np.full(12, np.inf))


def test_groups(data):
    fails(DataError, "'g' has one level", GOOD, data.assign(g="a"))
    fails(DataError, "'g' has 12 levels for 12 rows", GOOD, data.assign(g=range(12)))
    fails(DataError, "'g' has 12 levels for 12 rows", GOOD, data.assign(g=range(12)), weights=np.ones(12))
    fails(DataError, "12 random effects .4 levels x 'Intercept', 'f", "y ~ x + (f | g)", data)
    assert model_frame(GOOD, data.assign(g=range(12)), weights="w").design.terms[0].n_levels == 12


def test_more_effects_than_rows(data):
    fails(DataError, "fixed effects for 12 rows", "y ~ factor(x) + (1 | g)", data)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ("ww", "'ww' of weights .* did you mean 'w'"),
        ("f", "weights is not numeric"),
        (np.ones(11), r"shape \(11,\), but data has 12 rows"),
        (np.r_[-1.0, np.ones(11)], "1 negative"),
        (np.r_[0.0, 0.0, np.ones(10)], "2 zero"),
        (np.r_[np.nan, np.ones(11)], "1 missing"),
        (np.r_[np.inf, np.ones(11)], "1 infinite"),
        ([None] + [1.0] * 11, "1 missing"),
    ],
)
def test_weights(data, weights, match):
    fails(DataError, match, GOOD, data, weights=weights)


def test_offsets(data):
    fails(DataError, "offset is not numeric", GOOD, data, offset="f")
    fails(DataError, "'f' is not numeric", "y ~ x + offset(f) + (1 | g)", data)
    fails(DataError, r"shape \(3,\)", GOOD, data, offset=np.ones(3))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": None}, "'x' .* is not in newdata"),
        ({"g": None}, "'g' .* is not in newdata"),
        ({"f": ["u", "zz"]}, "levels of 'f' that the fit did not see: 'zz'; expected 'u', 'v', 'w'"),
        ({"x": ["1", "b"]}, "'x' of newdata is not numeric"),
        ({"x": [1.0, np.inf]}, "'x' is infinite"),
        ({"h": [1, 77]}, "did not see: 77;"),
    ],
)
def test_new_data(data, change, match):
    frame = model_frame("y ~ x + f + C(h) + (1 | g)", data.assign(h=[1] * 5 + [2] * 7))
    new = pd.DataFrame({"x": [1.0, 2.0], "f": ["u", "v"], "h": [1, 2], "g": ["a", "b"]})
    for name, values in change.items():
        new = new.drop(columns=name) if values is None else new.assign(**{name: values})
    with pytest.raises(DataError, match=match):
        new_design(frame, new)


def test_new_data_must_be_a_frame(data):
    with pytest.raises(DataError, match="newdata is of type list"):
        new_design(model_frame(GOOD, data), [1, 2])


def test_every_warning_can_be_filtered():
    names = ["SingularFitWarning", "DroppedRowsWarning", "ConvergenceWarning", "AliasedColumnsWarning"]
    for name in names:
        assert issubclass(getattr(_errors, name), _errors.JaxmixedWarning)
    assert issubclass(_errors.JaxmixedWarning, UserWarning)


def test_a_response_without_residuals(data):
    with pytest.raises(DataError, match="fit the response 'y' exactly"):
        jm.lmer(GOOD, data.assign(y=2 * data["x"] + 1))
    with pytest.warns(jm.ConvergenceWarning, match="residual variance is all but zero"):
        jm.lmer(GOOD, data.assign(y=np.sin(pd.factorize(data["g"])[0])))


def test_row_labels_of_weights_and_offset(data):
    other = pd.Series(np.ones(12), index=range(1, 13))
    for name in ("weights", "offset"):
        fails(DataError, f"{name} has other row labels", GOOD, data, **{name: other})
        model_frame(GOOD, data, **{name: other.to_numpy()})
        model_frame(GOOD, pl.from_pandas(data), **{name: other})
        fails(DataError, f"{name} is not numeric", GOOD, data, **{name: np.full(12, 1j)})


def test_factors_of_one_level(data):
    data = data.assign(c="a")
    for formula in ("y ~ c + (1 | g)", "y ~ x * c + (1 | g)", "y ~ x + (c | g)"):
        fails(DataError, r"factor 'c' has one level \('a'\)", formula, data)
    assert model_frame("y ~ 0 + c + (1 | g)", data).fixed_names == ("c[a]",)


def test_dates(data):
    day = datetime.date(2020, 1, 1)
    days = [day + datetime.timedelta(i // 3) for i in range(12)]
    for when in (days, pd.period_range("2020", periods=12), pd.to_timedelta(range(12), unit="D")):
        fails(DataError, "'d' holds (dates or times|durations)", "y ~ d + (1 | g)", data.assign(d=when))
    for when in (pl.Series(days), pl.Series(days).cast(pl.Datetime), pl.Series(days) - day):
        frame = pl.from_pandas(data).with_columns(d=when)
        fails(DataError, "'d' holds (dates or times|durations)", "y ~ d + (1 | g)", frame)
    assert model_frame("y ~ x + (1 | d)", data.assign(d=days)).design.terms[0].n_levels == 4


def test_cells_that_are_no_levels(data):
    fails(DataError, "'g' holds infinite", GOOD, data.assign(g=[np.inf, 1.0, 2.0] * 4))
    fails(DataError, "'g' holds values of type list", GOOD, data.assign(g=[[1], [2]] * 6))
    fails(DataError, "'x' holds values of type dict", GOOD, data.assign(x=[{}] * 12))


def test_columns_that_clash_or_are_zero(data):
    data = data.assign(Intercept=data.x, log=data.x, zz=0.0)
    fails(DataError, "'zz', zero in every row", "y ~ x + (0 + zz | g)", data)
    fails(DataError, "name of the model's intercept", "y ~ x + (Intercept | g)", data)
    fails(FormulaError, "'log' is a column of data", "y ~ log(log + 1) + (1 | g)", data)
    fails(FormulaError, "'log' is a column of data", "log(log + 1) ~ x + (1 | g)", data)


def test_no_columns():
    fails(DataError, "data has no columns at all", GOOD, pd.DataFrame(index=range(3)))
