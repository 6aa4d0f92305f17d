"""From formula and frame to `Design`: matrices as R builds them, levels, rows, and new data."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from jaxmixed.frame import _groups, _rank
from jaxmixed.frame._columns import Factor
from jaxmixed.frame._data import model_frame
from jaxmixed.frame._errors import AliasedColumnsWarning, DroppedRowsWarning
from jaxmixed.frame._newdata import new_design
from jaxmixed.frame._rank import independent_columns

DAYS = np.tile(np.arange(10), 18)
SUBJECTS = np.repeat([str(s) for s in range(308, 326)], 10)
RNG = np.random.default_rng(3)


# --- the fixed part, against the model matrices of R 4.2.2


def test_poly_is_the_basis_of_r(sleep):
    X = model_frame("Reaction ~ poly(Days, 2) + (1 | Subject)", sleep).design.X
    expected = [
        [1, -0.116774841624, 0.123091490979],
        [1, -0.0908248768188, 0.0410304969931],
        [1, -0.0648749120135, -0.0205152484966],
        [1, -0.0389249472081, -0.0615457454897],
        [1, -0.0129749824027, -0.0820609939862],
    ]
    np.testing.assert_allclose(X[:5], expected, atol=1e-12)


def test_factors_have_treatment_contrasts(cake):
    frame = model_frame("angle ~ recipe * temperature + (1 | replicate/recipe)", cake)
    assert frame.fixed_names[:4] == ("Intercept", "recipe[T.B]", "recipe[T.C]", "temperature[T.185]")
    assert frame.fixed_names[8:10] == ("recipe[T.B]:temperature[T.185]", "recipe[T.C]:temperature[T.185]")
    assert frame.fixed_terms["recipe"] == (1, 2)
    assert frame.fixed_terms["recipe:temperature"] == tuple(range(8, 18))
    np.testing.assert_array_equal(np.flatnonzero(frame.design.X[7]), [0, 1, 3, 8])


def test_categories_keep_their_order_and_lose_unused_levels():
    sex = pd.Categorical(["Male", "Female"] * 10, categories=["Male", "Female", "Other"])
    data = pd.DataFrame({"y": RNG.normal(size=20), "sex": sex, "g": np.repeat(list("abcde"), 4)})
    assert model_frame("y ~ sex + (1 | g)", data).fixed_names == ("Intercept", "sex[T.Female]")


def test_contrasts(cake):
    frame = model_frame("angle ~ C(recipe, contr.sum) + (1 | replicate)", cake)
    np.testing.assert_array_equal(frame.design.X[[0, 6, 12]], [[1, 1, 0], [1, 0, 1], [1, -1, -1]])
    frame = model_frame("angle ~ C(recipe, contr.helmert) + (1 | replicate)", cake)
    np.testing.assert_array_equal(frame.design.X[[0, 6, 12]], [[1, -1, -1], [1, 1, -1], [1, 0, 2]])


def test_whole_numbers_are_levels_without_decimals(cake):
    frame = model_frame("angle ~ factor(temp) + (1 | replicate)", cake)
    assert frame.fixed_names[1] == "factor(temp)[T.185]"


def test_transforms(sleep):
    formula = "Reaction ~ scale(Days) + I(Days^2) + np.log(Days + k) + sqrt(Days) + (1 | Subject)"
    X = model_frame(formula, sleep, context={"k": 1}).design.X
    scaled = (DAYS - DAYS.mean()) / DAYS.std(ddof=1)
    columns = [np.ones(180), scaled, DAYS**2, np.log(DAYS + 1), np.sqrt(DAYS)]
    np.testing.assert_allclose(X, np.column_stack(columns), atol=1e-13)


def test_large_integers_do_not_overflow():
    data = pd.DataFrame({"y": RNG.normal(size=8), "x": np.arange(8) + 10**9, "g": list("aabbccdd")})
    X = model_frame("y ~ I(x^3) + (1 | g)", data).design.X
    np.testing.assert_allclose(X[:, 1], (data.x.astype(float)) ** 3)


@pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
def test_booleans_are_factors_but_numbers_in_calls(dtype):
    data = pd.DataFrame({"y": RNG.normal(size=8), "b": [True, False] * 4, "g": list("aabbccdd")})
    data = data.astype({"b": dtype})
    frame = model_frame("y ~ b + (1 | g)", data)
    assert frame.fixed_names == ("Intercept", "b[T.True]")
    np.testing.assert_array_equal(frame.design.X[:2, 1], [1, 0])
    np.testing.assert_array_equal(model_frame("y ~ I(2 * b) + (1 | g)", data).design.X[:2, 1], [2, 0])


def test_python_keywords_name_columns():
    data = pd.DataFrame({"yield": np.arange(1.0, 9.0), "class": np.arange(8.0) % 3, "g": list("aabbccdd")})
    frame = model_frame("log(yield) ~ class + I(class^2) + (1 | g)", data)
    np.testing.assert_allclose(frame.design.y, np.log(data["yield"]))
    np.testing.assert_allclose(frame.design.X[:, 2], data["class"] ** 2)


def test_backticks_everywhere():
    data = pd.DataFrame({"my y": RNG.normal(size=8), "my x": np.arange(8.0), "my g": list("aabbccdd")})
    frame = model_frame("`my y` ~ `my x` + I(`my x`^2) + (0 + `my x` | `my g`)", data)
    assert frame.response == "my y"
    assert frame.groups[0].name == "my g"
    assert frame.groups[0].columns == ("my x",)
    np.testing.assert_array_equal(frame.design.X[:, 2], data["my x"] ** 2)


def test_response_and_offsets(sleep):
    data = sleep.assign(Reaction=np.exp(sleep.Reaction), base=DAYS + 1.0)
    formula = "log(Reaction) ~ Days + offset(log(base)) + (1 | Subject)"
    design = model_frame(formula, data, offset="Days", weights=np.arange(1, 181)).design
    np.testing.assert_allclose(design.y, sleep.Reaction)
    np.testing.assert_allclose(design.offset, np.log(DAYS + 1) + DAYS)
    np.testing.assert_array_equal(design.weights, np.arange(1.0, 181.0))


# --- random terms


def test_slope(sleep):
    frame = model_frame("Reaction ~ Days + (Days | Subject)", sleep)
    (term,), (labels,) = frame.design.terms, frame.groups
    assert (term.n_levels, term.blocks) == (18, (2,))
    assert labels.terms == (("Intercept", "Days"),)
    np.testing.assert_array_equal(term.z, np.column_stack([np.ones(180), DAYS]))
    np.testing.assert_array_equal(labels.levels[term.codes], SUBJECTS)


@pytest.mark.parametrize("bars", ["(Days || Subject)", "(1 | Subject) + (0 + Days | Subject)"])
def test_bars_on_one_factor_are_one_term(sleep, bars):
    frame = model_frame(f"Reaction ~ Days + {bars}", sleep)
    assert [term.blocks for term in frame.design.terms] == [(1, 1)]
    assert frame.groups[0].terms == (("Intercept",), ("Days",))
    assert frame.groups[0].columns == ("Intercept", "Days")


def test_factor_slopes(cake):
    frame = model_frame("angle ~ 1 + (0 + recipe | replicate)", cake)
    assert frame.groups[0].terms == (("recipe[A]", "recipe[B]", "recipe[C]"),)
    frame = model_frame("angle ~ 1 + (recipe || replicate)", cake)
    assert frame.groups[0].columns == ("Intercept", "recipe[T.B]", "recipe[T.C]")
    assert frame.design.terms[0].blocks == (1, 1, 1)


def test_nested_factors_have_the_names_and_order_of_lme4(cake):
    frame = model_frame("angle ~ 1 + (1 | replicate/recipe)", cake)
    assert [labels.name for labels in frame.groups] == ["recipe:replicate", "replicate"]
    assert [term.n_levels for term in frame.design.terms] == [45, 15]
    assert list(frame.groups[0].levels[:3]) == ["A:1", "A:2", "A:3"]
    assert list(frame.groups[1].levels) == list(range(1, 16))
    expected = (cake.recipe + ":" + cake.replicate.astype(str)).to_numpy()
    np.testing.assert_array_equal(frame.groups[0].levels[frame.design.terms[0].codes], expected)


def test_only_observed_combinations_are_levels():
    data = pd.DataFrame({"y": RNG.normal(size=12), "a": np.arange(12) // 2, "b": np.arange(12) // 2 * 1000})
    data["c"] = list("xyz") * 4
    frame = model_frame("y ~ 1 + (1 | a:b) + (1 | c)", data)
    assert list(frame.groups[0].levels) == [f"{i}:{1000 * i}" for i in range(6)]
    assert len(frame.groups[0].pairs[0]) == 6


@pytest.mark.parametrize("n", [5, 40, 400])
def test_combinations_are_coded_alike_whether_few_or_many(n, monkeypatch):
    """A table of all combinations, where it is no larger than the rows, finds what sorting finds."""
    rng = np.random.default_rng(n)
    factors = [
        Factor(rng.integers(0, size, n), pd.Index(list("abcdefghij")[:size])).observed()
        for size in (10, 4, 3)
    ]
    found = _groups.group(factors)
    monkeypatch.setattr(_groups, "_compress", lambda codes, _: np.unique(codes, return_inverse=True))
    expected = _groups.group(factors)
    np.testing.assert_array_equal(found.codes, expected.codes)
    for mine, theirs in zip(found.pairs, expected.pairs, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    labels = _groups.GroupLabels("f", (("Intercept",),), ("f",), found.factors, found.pairs)
    rows = [":".join(f.levels[f.codes[i]] for f in factors) for i in range(n)]
    assert labels.n_levels == len(labels.levels) == len(set(rows))
    assert labels.levels[found.codes].tolist() == rows


def test_factors_come_largest_first_and_else_as_written():
    data = pd.DataFrame(
        {"y": RNG.normal(size=12), "a": list("uv") * 6, "b": list("pqr") * 4, "c": list("xy") * 6}
    )
    names = [labels.name for labels in model_frame("y ~ 1 + (1|a) + (1|b) + (1|c)", data).groups]
    assert names == ["b", "a", "c"]


def test_grouping_expressions(sleep):
    frame = model_frame("Reaction ~ 1 + (1 | factor(Days)) + (1 | Subject)", sleep)
    assert frame.groups[1].name == "factor(Days)"
    assert list(frame.groups[1].levels) == list(range(10))
    np.testing.assert_array_equal(frame.design.terms[1].codes, DAYS)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (["10", "9", "1", None], ["1", "10", "9"]),
        ([10, 9, 1, None], [1, 9, 10]),
        ([2.5, 1.0, -1.0, np.nan], [-1.0, 1.0, 2.5]),
        (
            pd.Categorical(["lo", "hi", "mid", None], categories=["lo", "mid", "no", "hi"]),
            ["lo", "mid", "hi"],
        ),
        (pd.array([3, 1, 2, None], dtype="Int64"), [1, 2, 3]),
        (["b", 1, "a", None], [1, "a", "b"]),
    ],
)
def test_order_of_levels(values, levels):
    data = pd.DataFrame({"y": np.arange(8.0), "g": pd.concat([pd.Series(values)] * 2, ignore_index=True)})
    with pytest.warns(DroppedRowsWarning):
        frame = model_frame("y ~ 1 + (1 | g)", data)
    assert list(frame.groups[0].levels) == levels
    assert frame.n_dropped == 2


# --- rows


def test_missing_values_drop_rows_once(sleep):
    data = sleep.assign(Days=sleep.Days.astype(float), unused=np.nan).set_index(np.arange(180) + 1000)
    data.iloc[[0, 1], 0] = np.nan
    data.iloc[[1, 2], 1] = np.nan
    data["Subject"] = data.Subject.where(data.Subject != "325", None)
    with pytest.warns(DroppedRowsWarning, match=r"13 of 180 rows .*Reaction: 2, Days: 2, Subject: 10"):
        frame = model_frame("Reaction ~ Days + (Days | Subject)", data, weights=np.ones(180))
    assert frame.n_dropped == 13
    assert frame.dropped_by == {"Reaction": 2, "Days": 2, "Subject": 10}
    assert list(frame.index[:2]) == [1003, 1004]
    np.testing.assert_array_equal(frame.kept, np.arange(3, 170))
    assert frame.design.terms[0].n_levels == 17
    assert frame.design.weights.shape == (167,)


@pytest.mark.parametrize("change", ["at", "iloc", "replace"])
def test_the_model_does_not_change_with_the_frame(change):
    """pandas changes columns in place where it knows of nobody else who holds them."""
    numbers = {name: RNG.uniform(1, 2, size=12) for name in ("y", "x")}
    data = pd.DataFrame({**numbers, "f": pd.Categorical(list("pqr") * 4), "g": np.repeat([1, 2, 3], 4)})
    frame = model_frame("y ~ x + f + (1 | g)", data)
    before = data[["y", "x", "f"]].copy(deep=True)
    if change == "at":
        data.at[0, "x"], data.at[0, "y"], data.at[0, "f"] = 9.0, 9.0, "r"
    elif change == "iloc":
        data.iloc[0, :3] = [9.0, 9.0, "r"]
    else:
        data.replace({"x": {numbers["x"][0]: 9.0}, "y": {numbers["y"][0]: 9.0}}, inplace=True)
    assert (data.loc[0, ["x", "y"]] == 9).all()
    np.testing.assert_array_equal(frame.design.y, before["y"])
    pd.testing.assert_frame_equal(frame.covariates, before)


def test_transforms_learn_from_the_rows_that_are_fitted(sleep):
    data = sleep.assign(Reaction=sleep.Reaction.where(sleep.Days > 1))
    with pytest.warns(DroppedRowsWarning):
        frame = model_frame("Reaction ~ center(Days) + (1 | Subject)", data)
    np.testing.assert_allclose(frame.design.X.mean(axis=0), [1, 0], atol=1e-15)


def test_polars_gives_the_same(sleep):
    data = sleep.assign(f=np.where(DAYS % 2, "odd", "even"), x=DAYS * 1.5)
    formula = "Reaction ~ f + x + (x | Subject)"
    one, two = model_frame(formula, data), model_frame(formula, pl.DataFrame(data.to_dict("list")))
    assert one.fixed_names == two.fixed_names
    np.testing.assert_array_equal(one.design.X, two.design.X)
    np.testing.assert_array_equal(one.design.terms[0].codes, two.design.terms[0].codes)


def test_polars_missing_values_and_enums():
    data = pl.DataFrame(
        {
            "y": [1.0, 2.0, None, 4.0, 5.0, 7.0],
            "n": [1, None, 3, 4, 5, 7],
            "g": ["a", "b", "a", "b", None, "a"],
        }
    ).with_columns(e=pl.Series(["lo", "hi", "lo", "hi", "lo", "lo"], dtype=pl.Enum(["lo", "mid", "hi"])))
    with pytest.warns(DroppedRowsWarning):
        frame = model_frame("y ~ e + (1 | g)", data)
    assert frame.dropped_by == {"y": 1, "g": 1}
    assert frame.fixed_names == ("Intercept", "e[T.hi]")


def test_types_of_columns(sleep):
    data = sleep.assign(
        nullable=pd.array(DAYS, dtype="Int64"),
        boxed=pd.Series(DAYS, dtype=object),
        small=DAYS.astype(np.uint8),
    )
    for name in ["nullable", "boxed", "small"]:
        X = model_frame(f"Reaction ~ {name} + I({name} - 5) + (1 | Subject) - 1", data).design.X
        np.testing.assert_array_equal(X, np.column_stack([DAYS, DAYS - 5.0]))


# --- rank


def test_aliased_columns_are_the_rightmost():
    occasion = np.tile(np.arange(6.0), 20)
    year, semester = occasion // 2 + 1, occasion % 2 + 1
    data = pd.DataFrame({"y": RNG.normal(size=120), "occasion": occasion, "year": year, "semester": semester})
    data["g"] = np.repeat(np.arange(20), 6)
    data["x"] = RNG.normal(size=120)
    with pytest.warns(AliasedColumnsWarning, match="semester"):
        frame = model_frame("y ~ occasion + year + semester + x + (1 | g)", data)
    assert frame.aliased == ("semester",)
    assert frame.fixed_names == ("Intercept", "occasion", "year", "x")
    assert frame.fixed_terms["semester"] == ()
    assert frame.fixed_terms["x"] == (3,)
    assert new_design(frame, data.iloc[:3]).X.shape == (3, 4)


@pytest.mark.parametrize(("mean", "sd"), [(1e9, 1e6), (1e9, 1.0), (0, 1e-12), (1e-8, 1e-12)])
def test_badly_scaled_columns_are_not_aliased(mean, sd):
    x = mean + sd * RNG.normal(size=50)
    assert independent_columns(np.column_stack([np.ones(50), x])).all()


def test_aliased_columns_of_any_scale():
    x, z = 1e9 + 1e6 * RNG.normal(size=50), 1e-8 * RNG.normal(size=50)
    X = np.column_stack([np.ones(50), x, 3 * x, np.zeros(50), z, x + 1e15 * z, z * 0.1, RNG.normal(size=50)])
    expected = [True, True, False, False, True, False, False, True]
    np.testing.assert_array_equal(independent_columns(X), expected)


def test_more_columns_than_rows_are_aliased():
    assert independent_columns(RNG.normal(size=(4, 7))).sum() == 4


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-120, 1.0, 1e120, 1e170, 1e300])
def test_aliased_columns_are_found_where_squares_are_no_numbers(scale):
    x, z = scale * RNG.uniform(1, 2, size=(2, 50))
    np.testing.assert_array_equal(independent_columns(np.column_stack([x, x, z])), [True, False, True])


@pytest.mark.parametrize("left", 10.0 ** -np.arange(1, 13))
def test_cross_products_say_no_more_than_the_columns_do(left, monkeypatch):
    """What a column leaves of its norm beside the others decides, in whichever way it is found."""
    Q = np.linalg.qr(RNG.normal(size=(200, 6)))[0]
    X = Q[:, :5].copy()
    X[:, 3] = Q[:, :3].sum(axis=1) + left * Q[:, 5]
    found = independent_columns(X)
    monkeypatch.setattr(_rank, "INDEPENDENT", np.inf)
    np.testing.assert_array_equal(found, independent_columns(X))
    assert found.all() == (left > 1e-10)
