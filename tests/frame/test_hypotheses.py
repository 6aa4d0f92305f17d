"""Linear hypotheses from matrices, frames and text."""

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm
from jaxmixed.frame._hypotheses import hypotheses

NAMES = [
    "Intercept",
    "occasion",
    "sex[T.male]",
    "highgpa",
    "sex[T.male]:occasion",
    "I(x ** 2)",
    "poly(x, 2)[1]",
    "a b",
    "x",
    "bs(x, df=4)[2]",
    "C(f, contr.sum)[S.a=b,c]",
    "job[T.1-2]",
]


def row(**weights) -> np.ndarray:
    """Return a row of L, the coefficients given by their place."""
    out = np.zeros(len(NAMES))
    for place, weight in weights.items():
        out[int(place[1:])] = weight
    return out


@pytest.mark.parametrize(
    ("text", "rows", "values"),
    [
        ("occasion = 0, sex[T.male] = highgpa", [row(_1=1), row(_2=1, _3=-1)], [0, 0]),
        ("2*x - highgpa = 1", [row(_8=2, _3=-1)], [1]),
        ("sex[T.male]:occasion", [row(_4=1)], [0]),
        ("sex[T.male] : occasion = sex[T.male]", [row(_4=1, _2=-1)], [0]),
        ("I(x**2) = 3, poly(x,2)[1] = 1e-3", [row(_5=1), row(_6=1)], [3, 1e-3]),
        ("a b + x = highgpa / 2", [row(_7=1, _8=1, _3=-0.5)], [0]),
        ("(x + highgpa) * 2 = 4 * (1 + 1)", [row(_8=2, _3=2)], [8]),
        ("bs(x, df=4)[2] = C(f, contr.sum)[S.a=b,c]", [row(_9=1, _10=-1)], [0]),
        ("job[T.1-2] - x = -1", [row(_11=1, _8=-1)], [-1]),
        ("-x = -.5", [row(_8=-1)], [-0.5]),
        (["x = 1", "highgpa = 2, occasion"], [row(_8=1), row(_3=1), row(_1=1)], [1, 2, 0]),
        ("x = 1, 2*x = 2", [row(_8=1), row(_8=2)], [1, 2]),
        ("1 = x + 1", [row(_8=-1)], [0]),
    ],
)
def test_text(text, rows, values):
    found = hypotheses(text, NAMES)
    np.testing.assert_array_equal(found.matrix, rows)
    np.testing.assert_array_equal(found.values, values)


def test_labels_are_the_words_of_the_text():
    assert hypotheses("sex[T.male]:occasion,  2*x = I(x**2)", NAMES).labels == (
        "sex[T.male]:occasion = 0",
        "2*x = I(x ** 2)",
    )
    assert hypotheses([row(_8=1, _3=-2), row(_1=-0.5)], NAMES).labels == (
        "-2*highgpa + x = 0",
        "-0.5*occasion = 0",
    )


@pytest.mark.parametrize(
    "L",
    [
        np.array([row(_8=1, _3=-1)]),
        row(_8=1, _3=-1),
        list(row(_8=1, _3=-1)),
        pd.DataFrame({"x": [1], "highgpa": [-1]}),
        pd.Series({"highgpa": -1.0, "x": 1.0}),
        {"highgpa": -1, "x": 1},
        "x - highgpa",
    ],
)
def test_every_form_says_the_same(L):
    found = hypotheses(L, NAMES)
    np.testing.assert_array_equal(found.matrix, [row(_8=1, _3=-1)])
    np.testing.assert_array_equal(found.values, [0])


@pytest.mark.parametrize(
    ("L", "message"),
    [
        ("ocasion", r"'ocasion' is not a coefficient of the model; did you mean 'occasion'"),
        ("sex = 0", r"'sex' is not a coefficient of the model; did you mean 'sex\[T.male\]'"),
        ("sex[T.mael]:occasion = 0", r"'sex\[T.mael\]:occasion' .* did you mean 'sex\[T.male\]:occasion'"),
        ("log(x) = 0", r"'log\(x\)' is not a coefficient of the model; expected one of 'Intercept'"),
        ("x:occasion", r"'x:occasion' is not a coefficient"),
        (pd.DataFrame({"w": [1]}), "'w' is not a coefficient"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "column 'x' twice; expected each coefficient once"),
        ("x * highgpa = 0", "'x \\* highgpa = 0' is not linear; expected sums"),
        ("x ** 2", "is not linear"),
        ("1 / x", "is not linear"),
        ("x / 0", "is not linear"),
        ("x > 1", "is not linear"),
        ("x = 1 = highgpa", "expected one '='"),
        ("x == 1", "expected one '='"),
        ("2x = 1", r"Cannot read the hypothesis '2x = 1'; expected sums .* '2\*x - z = 1'"),
        ("x = 0 and highgpa = 0", "expected one '='"),
        ("x = 1, x = 2", "contradict each other; expected some coefficients"),
        ("x = highgpa, highgpa = occasion, x - occasion = 1", "contradict"),
        ("1 = 1", "has no coefficient in it"),
        (np.zeros((1, 12)), "has no coefficient in it"),
        ("", "has no rows; expected at least one hypothesis"),
        ([], "has no rows"),
        (np.zeros((0, 12)), "has no rows"),
        (np.ones((2, 3)), r"L has shape \(2, 3\); expected \(rows, 12\)"),
        (3.0, r"L has shape \(\); expected"),
        ([["a"] * 12], "L is not numeric; expected a matrix"),
        (["x", 1], "L is not numeric"),
        (np.full((1, 12), np.nan), "12 infinite or missing values; expected finite numbers"),
    ],
)
def test_errors_say_what_to_do(L, message):
    with pytest.raises(jm.DataError, match=message):
        hypotheses(L, NAMES)


def test_any_name_of_a_fit_is_recognised():
    """Every coefficient can be called by its name, alone and beside all others."""
    found = hypotheses([f"{name} = {i}" for i, name in enumerate(NAMES)], NAMES)
    np.testing.assert_array_equal(found.matrix, np.eye(len(NAMES)))
    np.testing.assert_array_equal(found.values, np.arange(len(NAMES)))
    np.testing.assert_array_equal(hypotheses(" + ".join(NAMES), NAMES).matrix, np.ones((1, len(NAMES))))
