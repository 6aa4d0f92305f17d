"""What transforms learn from all rows, learnt batch by batch: exactly, or not at all.

    scale, center   mean and standard deviation, by pairwise merging of moments
    poly            its three-term recurrence, from R of the QR decomposition of 1, t, t^2, ...
    bs              the least and the largest value, knots being given
    C, factor       the levels

formulaic keeps what a transform has learnt under the text of its call. Everything else must treat each row by
itself.
"""

import ast
from collections.abc import Mapping
from math import comb
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ._columns import Factor, read_factor
from ._errors import DataError, FormulaError
from ._expressions import evaluate

ROUNDING = 1e-12  # by which the values of one row may differ, relative to the largest


class Learner(Protocol):
    """What is to be learnt of one call."""

    def update(self, values: np.ndarray) -> None:
        """Take in the argument's values in more rows, shape (n,)."""
        ...

    def merge(self, other: Any) -> None:
        """Take in what was learnt from other rows."""
        ...

    def state(self) -> dict[str, Any] | None:
        """Return the state that formulaic keeps; `None` if it learns the same from the extreme rows."""
        ...


class Moments:
    """Mean and sum of squared deviations, for `scale` and `center`."""

    def __init__(self, example: Mapping[str, Any], center: Any, scale: Any):
        self._example, self._center, self._scale = dict(example), center, scale
        self._n, self._mean, self._squares = 0, 0.0, 0.0

    def update(self, values: np.ndarray) -> None:
        mean = values.mean()
        self._add(len(values), mean, ((values - mean) ** 2).sum())

    def merge(self, other: "Moments") -> None:
        self._add(other._n, other._mean, other._squares)

    def _add(self, n: int, mean: float, squares: float) -> None:
        total, step = self._n + n, mean - self._mean
        self._squares += squares + step**2 * self._n * n / total
        self._mean += step * n / total
        self._n = total

    def state(self) -> dict[str, Any]:
        state = dict(self._example)
        if self._center is True:
            state["center"] = self._mean
        if self._scale is True:
            center = 0.0 if state["center"] is None else state["center"]
            squares = self._squares + self._n * (self._mean - center) ** 2
            state["scale"] = np.sqrt(squares / (self._n - state["ddof"]))
        return state


class Polynomial:
    """Orthogonal polynomials of all rows.

    With t = (x - origin) / unit and [1 t t^2 ...] = Q R, the monic polynomial of degree k orthogonal to those
    below it has the norm R_kk unit^k, and alpha_k = R_(k,k+1) / R_kk - R_(k-1,k) / R_(k-1,k-1) in units
    of t.
    """

    def __init__(self, degree: int):
        self._degree, self._R = degree, np.zeros((0, degree + 1))
        self._origin, self._unit = 0.0, 0.0

    def update(self, values: np.ndarray) -> None:
        if self._unit == 0:
            self._origin, self._unit = float(values.mean()), float(values.std()) or 1.0
        t = (values - self._origin) / self._unit
        self._add(np.vander(t, self._degree + 1, increasing=True))

    def merge(self, other: "Polynomial") -> None:
        if self._unit == 0:
            self._origin, self._unit = other._origin, other._unit
        a, b = other._unit / self._unit, (other._origin - self._origin) / self._unit
        powers = range(self._degree + 1)
        binomial = np.array(
            [[comb(k, i) * a**i * b ** (k - i) if i <= k else 0.0 for k in powers] for i in powers]
        )
        self._add(other._R @ binomial)

    def _add(self, rows: np.ndarray) -> None:
        self._R = np.linalg.qr(np.concatenate([self._R, rows]), mode="r")

    def state(self) -> dict[str, Any]:
        above = np.diagonal(self._R, 1) / np.diagonal(self._R)[:-1]
        alpha = self._origin + self._unit * np.diff(above, prepend=0.0)
        norms2 = np.diagonal(self._R) ** 2 * self._unit ** (2.0 * np.arange(self._degree + 1))
        return {"alpha": dict(enumerate(alpha)), "norms2": dict(enumerate(norms2))}


class Extremes:
    """The least and the largest value, for B-splines with given knots."""

    def __init__(self) -> None:
        self.least, self.largest = np.inf, -np.inf

    def update(self, values: np.ndarray) -> None:
        self.least, self.largest = min(self.least, values.min()), max(self.largest, values.max())

    def merge(self, other: "Extremes") -> None:
        self.least, self.largest = min(self.least, other.least), max(self.largest, other.largest)

    def state(self) -> None:
        return None


def learner(call: str, state: Mapping[str, Any], others: list[str]) -> tuple[str, Learner] | None:
    """Return the argument of a call, and what learns its state; `None` where there is nothing to learn.

    Parameters
    ----------
    call
        Text of the call, as formulaic keeps it.
    state
        What the call has learnt from a few rows, to see what there is.
    others
        The other calls that learn.
    """
    if not state:
        return None
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call) and node.args
    name, argument = ast.unparse(node.func), ast.unparse(node.args[0])
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if any(other in argument for other in others):
        raise _cannot(call, "its argument learns from the data itself", "compute the argument beforehand")
    if name in ("scale", "center") and len(node.args) == 1:
        found = [_literal(options.get(key, ast.Constant(True))) for key in ("center", "scale")]
        return argument, Moments(state, found[0], found[1] if name == "scale" else False)
    if name == "poly":
        return argument, Polynomial(len(state["alpha"]))
    if name == "bs" and len(node.args) == 1 and "df" not in options:
        return argument, Extremes()
    remedy = (
        "name the knots, as in bs(x, knots=[1, 2])" if name == "bs" else "compute it as a column beforehand"
    )
    raise _cannot(call, "what it learns needs all rows at once", remedy)


def _literal(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _cannot(call: str, reason: str, remedy: str) -> FormulaError:
    return FormulaError(
        f"{call!r} cannot be learnt from batches of rows, since {reason}; expected scale, center, poly, or "
        f"bs with knots, of a transform of single rows, so {remedy}."
    )


def row_values(expression: str, frame: pd.DataFrame, context: Mapping[str, Any]) -> np.ndarray:
    """Return the numbers that the argument of a transform has in some rows."""
    values = evaluate(expression, frame, context, {})
    return values.to_numpy(dtype=np.float64)


def as_levels(value: Any) -> Factor | None:
    """Return the levels that an expression has in some rows, `None` if it is numeric."""
    metadata = getattr(value, "__formulaic_metadata__", None)
    plain = getattr(value, "__wrapped__", value)
    if metadata is not None and str(getattr(metadata, "kind", "")).lower().endswith("categorical"):
        return read_factor(pd.Series(plain))
    if isinstance(plain, pd.Series) and (
        plain.dtype == object or isinstance(plain.dtype, pd.CategoricalDtype)
    ):
        return read_factor(plain)
    return None


def check_row_by_row(what: str, whole: np.ndarray, rows: np.ndarray, alone: np.ndarray) -> None:
    """Check that an expression has the same values in some rows whether or not there are others."""
    known = whole[rows]
    if known.dtype.kind == "f":
        same = (np.abs(known - alone) <= ROUNDING * np.abs(whole).max(axis=0, initial=0.0)).all()
    else:
        same = (known == alone).all()
    if not same:
        raise DataError(
            f"{what} has other values in a batch of rows than among all of them; expected an expression that "
            f"treats each row by itself, so compute it as a column beforehand."
        )
