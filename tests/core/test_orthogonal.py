"""Orthogonal columns by cross products: as good as a library's, the same ones, or left to it."""

import numpy as np
import pytest

from jaxmixed import core
from jaxmixed.core import _conditioning
from jaxmixed.core._orthogonal import FEW, orthogonal


def columns(p, n=50):
    """Return an intercept and covariates, means and scales as data have them."""
    rng = np.random.default_rng(p)
    return np.column_stack([np.ones(n), *(10**j * (1 + rng.normal(size=n)) for j in range(p - 1))])


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("p", range(1, FEW + 1))
def test_columns(p, lower):
    X = columns(p)
    Q, R = orthogonal(X, 50.0, lower)
    largest = np.abs(X).max(0)
    np.testing.assert_allclose(Q @ R / largest, X / largest, rtol=0, atol=1e-14)
    np.testing.assert_allclose(Q.T @ Q / 50, np.eye(p), atol=1e-12)
    np.testing.assert_array_equal(R, np.tril(R) if lower else np.triu(R))
    assert (np.diagonal(R) > 0).all()


@pytest.mark.parametrize(
    "X",
    [
        columns(FEW + 1),
        columns(2).astype(np.float32),
        np.zeros((5, 1)),
        np.zeros((5, 0)),
        np.ones((5, 2)),
        np.column_stack([np.ones(30), 2000 + np.arange(30.0)]),
        np.full((5, 1), 1e200),
        np.full((5, 1), 1e-200),
        np.column_stack([np.ones(5), 1e200 * np.arange(5.0)]),
        np.array([[1.0], [np.nan]]),
    ],
    ids=["many", "float32", "zero", "none", "equal", "years", "huge", "tiny", "huge beside one", "missing"],
)
def test_what_is_left_to_a_library(X):
    assert orthogonal(X) is None


def test_a_library_returns_the_same(monkeypatch):
    """Random numbers are drawn in these coordinates: they must not hang on how these were found."""
    X, group = columns(3), np.arange(50) // 5
    design = core.Design(X[:, 1] ** 2, X, (core.RandomTerm(X[:, :2], group, 10, (2,)),))
    ours = core.condition(design)
    monkeypatch.setattr(_conditioning, "orthogonal", lambda *_, **__: None)
    theirs = core.condition(design)
    for one, other in [
        (ours.Q, theirs.Q),
        (ours.R, theirs.R),
        (ours.terms[0].z, theirs.terms[0].z),
        (ours.T[0], theirs.T[0]),
    ]:
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "dtype, size", [(np.float64, 1e200), (np.float64, 1e-200), (np.float32, 1e30), (np.float32, 1e-30)]
)
@pytest.mark.parametrize("q", [1, 2])
def test_columns_whose_squares_are_not_numbers(q, dtype, size):
    """Infinite, or zero: they are divided by their largest value first."""
    X, group = columns(2).astype(dtype), np.arange(50) // 5
    z = X[:, -q:] * np.array([1.0, size][-q:], dtype)
    design = core.Design(X[:, 1], X, (core.RandomTerm(z, group, 10, (q,)),))
    prepared = core.condition(design)
    (term,), (T,) = prepared.terms, prepared.T
    np.testing.assert_allclose((term.z**2).mean(0), 1, rtol=1e-5)
    np.testing.assert_allclose(term.z @ T / z.max(0), z / z.max(0), atol=1e-5)
