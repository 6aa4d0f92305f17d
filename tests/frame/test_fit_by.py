"""Every data set of `fit_by` has the numbers, or the refusal, of `lmer` on its rows alone."""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm
from jaxmixed.frame import _data_sets


def data_sets(seed: int, n_sets: int) -> pd.DataFrame:
    """Draw data sets of 30 to 100 rows in 6 to 13 groups, with a factor and a covariate."""
    rng, parts = np.random.default_rng(seed), []
    for i in range(n_sets):
        size = rng.integers(3, 9, size=rng.integers(6, 14))
        group = np.repeat(np.arange(len(size)), size)
        x, arm = rng.normal(size=len(group)), rng.choice(["a", "b", "c"], size=len(group))
        y = x + (arm == "b") + rng.normal(size=len(size))[group] + rng.normal(size=len(group))
        parts.append(pd.DataFrame({"y": y, "x": x, "arm": arm, "g": group, "study": f"s{i}"}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    data = data_sets(0, 9).sample(frac=1, random_state=0)
    study = data["study"]
    data["w"] = np.random.default_rng(1).uniform(0.5, 2, len(data))
    data.loc[(study == "s1") & (data["arm"] == "c"), "y"] = np.nan  # a level less
    data.loc[(study == "s2") & (data["arm"] == "a"), "x"] = np.nan  # the reference level less
    data.loc[study == "s3", "x"] = 2.0  # depends on the intercept
    data.loc[study == "s4", "y"] = 1.0  # constant
    data.loc[study == "s5", "g"] = 1  # one group
    data.loc[study == "s6", "y"] = np.nan  # no rows
    return data


def fit_by(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.DroppedRowsWarning)
        return jm.fit_by(formula, data, "study", progress=False, **options)


def assert_as_lmer(fits, formula, data, **options):
    for name, part in data.groupby("study"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jm.JaxmixedWarning)
            try:
                single = jm.lmer(formula, part, **options)
            except ValueError as error:
                assert fits.status[name] == str(error)
                assert fits.params.loc[name].isna().all()
                continue
        terms = list(single.params.index)
        assert fits.params.loc[name].dropna().index.tolist() == [t for t in fits.params if t in terms]
        np.testing.assert_allclose(fits.criterion[name], single.criterion, rtol=0, atol=1e-7)
        np.testing.assert_allclose(fits.params.loc[name, terms], single.params, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(fits.bse.loc[name, terms], single.bse, rtol=1e-6)
        np.testing.assert_allclose(fits.df.loc[name, terms], single.df, rtol=1e-5)
        np.testing.assert_allclose(fits.pvalues.loc[name, terms], single.pvalues, rtol=1e-5)
        np.testing.assert_allclose(fits.varcorr.loc[name, "sigma"], single.sigma, rtol=1e-6)
        assert (fits.nobs[name], fits.n_dropped[name]) == (single.nobs, single.frame.n_dropped)
        assert fits.singular[name] == single.is_singular
        left_out = f": left out {', '.join(single.frame.aliased)}" if single.frame.aliased else ""
        assert fits.status[name] == f"converged{left_out}"


FORMULA = "y ~ x + arm + (1 | g)"


@pytest.fixture(scope="module")
def fits(data):
    return fit_by(FORMULA, data)


def test_as_lmer(fits, data):
    assert_as_lmer(fits, FORMULA, data)
    assert fits.status.index.tolist() == sorted(data["study"].unique())
    assert fits.status.index.name == "study"
    assert "arm[T.b]" in fits.params and fits.params["arm[T.b]"].isna()["s6"]
    assert fits.status["s3"] == "converged: left out x"
    assert len(fits.failures) == 3
    assert list(fits.to_frame("bh"))[:2] == ["study", "term"]


def test_the_frame_is_read_once_where_that_is_the_same(data, fits, monkeypatch):
    """Only data sets without all the levels, and those refused, get a frame of their own."""
    read = []

    def counted(*arguments):
        read.append(arguments[1]["study"].unique().tolist())
        return original(*arguments)

    original = _data_sets._quietly
    monkeypatch.setattr(_data_sets, "_quietly", counted)
    again = fit_by(FORMULA, data)
    pd.testing.assert_frame_equal(again.params, fits.params)
    assert len(read[0]) == 9
    assert sorted(names[0] for names in read[1:]) == ["s1", "s2", "s4", "s5", "s6"]

    read.clear()
    shifted = fit_by("y ~ I(x + 1) + arm + (1 | g)", data)
    assert len(read) == 6
    np.testing.assert_allclose(shifted.criterion["s0"], fits.criterion["s0"], atol=1e-6)

    read.clear()
    scaled = fit_by("y ~ scale(x) + arm + (1 | g)", data)
    assert len(read) == 10
    assert_as_lmer(scaled, "y ~ scale(x) + arm + (1 | g)", data[data["study"].isin(["s0", "s7"])])


def test_other_frames_weights_and_offset(data):
    polars = pytest.importorskip("polars")
    part = data[data["study"].isin(["s0", "s1", "s7"])].astype({"w": float})
    found = fit_by(FORMULA, polars.from_pandas(part), weights="w", offset="w")
    assert_as_lmer(found, FORMULA, part, weights="w", offset="w")
    by_position = fit_by(FORMULA, part, weights=part["w"], offset=part["w"].to_numpy())
    np.testing.assert_allclose(by_position.criterion, found.criterion, rtol=1e-12)


def test_missing_rows_are_counted(data):
    some = data.assign(study=data["study"].where(np.arange(len(data)) > 2))
    with pytest.warns(jm.DroppedRowsWarning, match="see n_dropped; 3 rows whose 'study' is missing"):
        found = jm.fit_by(FORMULA, some, "study", progress=False)
    assert found.n_dropped["s6"] == (some["study"] == "s6").sum()
    assert found.nobs["s6"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "formula", ["y ~ x + (1 + x | g)", "y ~ x + (1 | g) + (1 | arm)", "y ~ 1 + (1 | g/arm)"]
)
def test_other_structures(formula, data):
    """Crossed in one data set may be nested in another, and factors change places with their sizes."""
    part = data[data["study"].isin(["s0", "s1", "s7", "s8"])]
    assert_as_lmer(fit_by(formula, part), formula, part)


def test_more_data_sets_of_the_same_shapes_compile_nothing(fits, compiled):
    found = fit_by(FORMULA, data_sets(5, 40))
    assert len(found) == 40 and not found.failures
    assert not compiled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "stdy"}, "did you mean 'study'"),
        ({"by": ["study"]}, "expected the name of one column"),
        ({"formula": "y ~ z + (1 | g)"}, "Column 'z'"),
        ({"formula": "y ~ x"}, "No random term"),
        ({"formula": "y ~ lgo(x) + (1 | g)"}, "no function 'lgo'"),
        ({"formula": "y ~ y + (1 | g)"}, "on the right-hand side too"),
        ({"weights": "v"}, "Column 'v' of weights"),
        ({"ddf": "kr"}, "ddf is 'kr'"),
        ({"reml": None}, "reml is None"),
    ],
)
def test_wrong_calls(data, change, message):
    with pytest.raises(ValueError, match=message):
        jm.fit_by(**({"formula": FORMULA, "data": data, "by": "study"} | change))
