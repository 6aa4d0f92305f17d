"""Matrices of plain columns, multiplied by what formulaic made of the same text and levels before."""

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm
from jaxmixed.frame import _known_matrices, _matrices
from jaxmixed.frame._data import model_frame

PLAIN = [
    "1 + x",
    "0 + x + z",
    "x*z*w",
    "f",
    "0 + f",
    "x*f",
    "f:x",
    "0 + f:x",
    "f*g",
    "f:g",
    "f*g*x + w",
    "(f + x + z)**2",
    "x + b",
    "x*`a b`",
    "f*g - f",
]
OTHERS = ["x + np.log(w)", "2:x", "x + C(f)", "I(x**2)", "poly(x, 2)"]


def data(seed: int, f=("p", "q", "r")) -> pd.DataFrame:
    """Return rows that differ in all numbers, and not in levels."""
    rng = np.random.default_rng(seed)
    n = 48
    frame = pd.DataFrame(rng.uniform(1, 3, size=(n, 5)), columns=["y", "x", "z", "w", "a b"])
    frame["f"] = pd.Categorical.from_codes(rng.permutation(np.arange(n) % len(f)), categories=list(f))
    frame["g"] = rng.permutation(np.array(["u", "v"]).repeat(n // 2))
    frame["b"] = rng.permutation(np.arange(n) % 2 == 0)
    frame["s"] = np.arange(n) % 8
    return frame


@pytest.fixture
def asked(monkeypatch):
    """Forget what is known, and count how often formulaic is asked."""
    monkeypatch.setattr(_known_matrices, "_known", type(_known_matrices._known)())
    formulas = []
    materialise = _matrices._materialise

    def noted(formula, *args):
        formulas.append(formula)
        return materialise(formula, *args)

    monkeypatch.setattr(_matrices, "_materialise", noted)
    return formulas


def read(formula: str, frame: pd.DataFrame):
    return model_frame(f"y ~ {formula} + (1 + x | s)", frame)


@pytest.mark.parametrize("formula", PLAIN)
def test_as_formulaic(formula, asked, monkeypatch):
    read(formula, data(1))
    once = len(asked)
    found = read(formula, data(2))
    assert len(asked) == once
    monkeypatch.setattr(_known_matrices, "_known", type(_known_matrices._known)())
    expected = read(formula, data(2))
    assert len(asked) == 2 * once
    assert found.fixed_names == expected.fixed_names
    assert found.fixed_terms == expected.fixed_terms
    np.testing.assert_allclose(found.design.X, expected.design.X, rtol=1e-15)
    np.testing.assert_array_equal(found.design.terms[0].z, expected.design.terms[0].z)


@pytest.mark.parametrize("formula", OTHERS)
def test_what_learns_from_data_is_asked_for_each_time(formula, asked):
    for seed in (1, 2):
        read(formula, data(seed))
    assert len(asked) == 2


def test_levels_count(asked):
    """Other levels, in another order or of another type, are another coding."""
    frame = data(1)
    names = set()
    for levels in (("p", "q", "r"), ("r", "q", "p"), ("p", "q"), (0, 1), (0.0, 1.0), (False, True)):
        frame["f"] = data(1, levels)["f"]
        names.add(read("f", frame).fixed_names)
    assert len(asked) == 6
    assert len(names) == 6


def test_a_variable_of_the_caller_is_read_each_time():
    frame = data(1)
    for factor in (1.0, 3.0):
        given = {"k": factor * frame["x"].to_numpy()}
        X = model_frame("y ~ k + (1 | s)", frame, context=given).design.X
        np.testing.assert_array_equal(X[:, 1], given["k"])


@pytest.mark.filterwarnings("ignore::jaxmixed.SingularFitWarning")
def test_new_data():
    """What is known serves predictions as what was made for the fit would."""
    fits = [jm.lmer("y ~ f*x + (1 | s)", data(seed)) for seed in (1, 2)]
    new = data(3)
    codes = new["f"].cat.codes.to_numpy()
    for fit in fits:
        d = np.eye(3)[codes][:, 1:]
        x = new[["x"]].to_numpy()
        X = np.hstack([np.ones((len(new), 1)), d, x, d * x])
        np.testing.assert_allclose(fit.predict(new, re="marginal"), X @ fit.params, rtol=1e-12)
    with pytest.raises(jm.DataError, match="levels of 'f' that the fit did not see"):
        fits[1].predict(data(4, ("p", "q", "r", "t")), re="marginal")


def test_the_least_recent_is_forgotten(asked, monkeypatch):
    monkeypatch.setattr(_known_matrices, "KEPT", 2)
    for formula in ("x", "z", "x", "w", "x", "z"):
        model_frame(f"y ~ {formula} + (1 | s)", data(1))
    assert len(asked) == 4  # x once
