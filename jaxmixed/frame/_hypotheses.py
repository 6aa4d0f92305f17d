"""Linear hypotheses about coefficients, L beta = values, from matrices or from words.

"occasion = 0, sex[T.male] = highgpa"   ->   L = [[0 1 0 0], [0 0 1 -1]],   values = [0 0]
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ._errors import DataError
from ._linear_text import read_equations, unknown_name
from ._words import counted, listed

CONTRADICTION = 1e-9  # size of the values, relative to the largest, at which rows disagree


class Hypotheses(NamedTuple):
    """The hypotheses matrix @ beta = values.

    Attributes
    ----------
    matrix
        Shape (r, p), a row for each hypothesis over the coefficients in their order.
    values
        Right-hand sides, shape (r,).
    labels
        Each hypothesis in words.
    """

    matrix: np.ndarray
    values: np.ndarray
    labels: tuple[str, ...]


def hypotheses(L: Any, names: Sequence[str]) -> Hypotheses:
    """Read linear hypotheses about the coefficients `names`.

    Parameters
    ----------
    L
        A matrix with a row for each hypothesis and a column for each coefficient, or one such row; a
        frame (or a Series, or a dict) with names of coefficients as columns, those missing being zero; or
        text, such as "x = 0, 2*z - w = 1", or a list of such texts. Where there is no "=", the value is zero.
    names
        Names of the coefficients in order.

    Returns
    -------
    Hypotheses
        Matrix, values and labels.

    Raises
    ------
    DataError
        If a name is unknown, the width is wrong, there is no row, a number is not finite, a row says
        nothing about any coefficient, or hypotheses contradict each other or are not linear.

    Examples
    --------
    >>> from jaxmixed.frame._hypotheses import hypotheses
    >>> found = hypotheses("x = 1, sex[T.male]:x = 2*x", ["Intercept", "x", "sex[T.male]:x"])
    >>> found.matrix
    array([[ 0.,  1.,  0.],
           [ 0., -2.,  1.]])
    >>> found.values, found.labels
    (array([1., 0.]), ('x = 1', 'sex[T.male]:x = 2*x'))
    """
    names = [str(name) for name in names]
    if isinstance(L, str) or (isinstance(L, list | tuple) and L and all(isinstance(s, str) for s in L)):
        found = _from_text([L] if isinstance(L, str) else list(L), names)
    else:
        matrix = _from_table(L, names) if isinstance(L, pd.DataFrame | pd.Series | Mapping) else _numbers(L)
        matrix = _rows(matrix, names)
        labels = tuple(_in_words(row, names) for row in matrix)
        found = Hypotheses(matrix, np.zeros(len(matrix)), labels)
    _check(found)
    return found


def _from_table(table: Any, names: list[str]) -> np.ndarray:
    if isinstance(table, Mapping):
        table = pd.Series(dict(table))
    if isinstance(table, pd.Series):
        table = table.to_frame().T
    unknown = [str(name) for name in table.columns if str(name) not in names]
    if unknown:
        raise unknown_name(unknown[0], names)
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise DataError(f"L has the column {twice!r} twice; expected each coefficient once.")
    given = table.rename(columns=str).reindex(columns=names, fill_value=0)
    return _numbers(given.to_numpy())


def _numbers(L: Any) -> np.ndarray:
    try:
        return np.array(L, dtype=float)
    except (TypeError, ValueError):
        raise DataError(
            "L is not numeric; expected a matrix with a row for each hypothesis and a column for each "
            "coefficient, or text such as 'x = 0'."
        ) from None


def _rows(matrix: np.ndarray, names: list[str]) -> np.ndarray:
    """Return a matrix or one row of it as a matrix of the right width."""
    if matrix.ndim and matrix.size == 0:
        return np.empty((0, len(names)))
    if matrix.ndim not in (1, 2) or matrix.shape[-1] != len(names):
        raise DataError(
            f"L has shape {matrix.shape}; expected (rows, {len(names)}), a column for each coefficient: "
            f"{listed(names)}."
        )
    return np.atleast_2d(matrix)


def _in_words(row: np.ndarray, names: list[str]) -> str:
    text = ""
    for weight, name in zip(row, names, strict=True):
        if weight:
            size = "" if abs(weight) == 1 else f"{abs(weight):g}*"
            sign = ("-" if weight < 0 else "") if not text else (" - " if weight < 0 else " + ")
            text += f"{sign}{size}{name}"
    return f"{text or '0'} = 0"


def _from_text(texts: list[str], names: list[str]) -> Hypotheses:
    equations = [equation for text in texts for equation in read_equations(text, names)]
    rows = np.array([row for row, _ in equations]).reshape(len(equations), len(names) + 1)
    return Hypotheses(rows[:, :-1] + 0.0, 0.0 - rows[:, -1], tuple(label for _, label in equations))


def _check(found: Hypotheses) -> None:
    matrix, values, labels = found
    if len(matrix) == 0 or matrix.shape[1] == 0:
        raise DataError("L has no rows; expected at least one hypothesis, such as 'x = 0'.")
    if not np.isfinite(matrix).all() or not np.isfinite(values).all():
        bad = int(np.sum(~np.isfinite(matrix)) + np.sum(~np.isfinite(values)))
        raise DataError(f"L has {counted(bad, 'infinite or missing value')}; expected finite numbers.")
    empty = ~matrix.any(axis=1)
    if empty.any():
        raise DataError(
            f"The hypothesis {labels[int(np.argmax(empty))]!r} has no coefficient in it; expected one about "
            f"the coefficients, as in 'x = 0', so leave it out."
        )
    # Rows may depend on each other, if their values do so in the same way.
    sizes = np.abs(matrix).max(axis=1)
    scaled, wanted = matrix / sizes[:, None], values / sizes
    beta = np.linalg.lstsq(scaled, wanted, rcond=None)[0]
    if np.abs(scaled @ beta - wanted).max() > CONTRADICTION * max(1.0, np.abs(wanted).max()):
        raise DataError(
            f"The hypotheses {listed(labels)} contradict each other; expected some coefficients that fulfil "
            f"them all, so leave one out."
        )
