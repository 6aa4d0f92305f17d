"""True parameters by name, as theta, beta and sigma.

    {"Days": 10, "sd(Days | Subject)": 6, "cor(Intercept, Days | Subject)": 0.1, "sigma": 25, ...}

The names are those of `fit.conf_int(parm="all")`. With Sigma the covariance matrix that standard deviations
and correlations make, Lambda Lambda' = Sigma / sigma^2; Sigma may be singular.
"""

import difflib
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..core._covariance import Blocks, pack, positions
from ._data import ModelFrame
from ._errors import DataError
from ._labels import chosen, parameter_labels
from ._words import counted, listed

ROUNDING = 1e-8  # eigenvalue of a correlation matrix below which it is not one


class Truth(NamedTuple):
    """True parameters: theta relative to sigma, shape (k,), beta, shape (p,), and sigma in units of y."""

    theta: np.ndarray
    beta: np.ndarray
    sigma: float


def complete(params: Any, frame: ModelFrame) -> pd.Series:
    """Return a value for every parameter, fixed effects first; correlations not given are zero.

    Raises
    ------
    DataError
        If a name is unknown or missing, or a value cannot be one of its parameter.
    """
    labels, kinds = parameter_labels(frame, "sdcor")
    names, kind_of = chosen(labels, kinds, "all"), dict(zip(labels, kinds, strict=True))
    if not isinstance(params, Mapping | pd.Series):
        raise DataError(
            f"params is of type {type(params).__name__}; expected a mapping from names to values: "
            f"{listed(names, 20)}."
        )
    given = dict(params.items())
    for name, value in given.items():
        if name not in kind_of:
            raise unknown_parameter(name, names)
        _check_value(name, value, kind_of[name])
    missing = [name for name in names if name not in given and kind_of[name] != "cor"]
    if missing:
        raise DataError(
            f"params lacks {listed(missing, 20)}; expected a value for each fixed effect, standard deviation "
            f"and sigma, so add {'it' if len(missing) == 1 else 'them'}."
        )
    return pd.Series({name: float(given.get(name, 0.0)) for name in names}, name="truth")


def truth(params: pd.Series, frame: ModelFrame, blocks: tuple[Blocks, ...]) -> Truth:
    """Return complete parameters as theta, beta and sigma.

    Raises
    ------
    DataError
        If standard deviations and correlations make no covariance matrix.
    """
    sigma, labels = float(params["sigma"]), parameter_labels(frame, "sdcor")[0]
    values, theta, first = params[list(labels)].to_numpy(), [], 0
    for group, b in zip(frame.groups, blocks, strict=True):
        (row, column), q = positions(b), sum(b)
        own = values[first : first + len(row)]
        single = row == column
        sd, correlation = own[single], np.eye(q)
        correlation[row[~single], column[~single]] = correlation[column[~single], row[~single]] = own[~single]
        _check_correlation(correlation[np.ix_(sd > 0, sd > 0)], group.name)
        theta.append(pack(_root(correlation * np.outer(sd, sd) / sigma**2), b))
        first += len(row)
    return Truth(np.concatenate(theta), params[list(frame.fixed_names)].to_numpy(), sigma)


def unknown_parameter(name: Any, names: list[str]) -> DataError:
    """Return the error for a name that is no parameter, with the nearest names."""
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?" if near else f"expected one of {listed(names, 20)}."
    )
    return DataError(f"{name!r} is not a parameter of the model; {hint}")


def _check_value(name: str, value: Any, kind: str) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(float(value)):
        raise DataError(f"{name!r} is {value!r}; expected a finite number.")
    value = float(value)
    if (kind == "sd" and value < 0) or (kind == "sigma" and value <= 0):
        raise DataError(
            f"{name!r} is {value:g}; expected a standard deviation, which is "
            f"{'positive' if kind == 'sigma' else 'zero or more'}."
        )
    if kind == "cor" and abs(value) > 1 + ROUNDING:
        raise DataError(f"{name!r} is {value:g}; expected a correlation, between -1 and 1.")


def _check_correlation(correlation: np.ndarray, group: str) -> None:
    smallest = np.linalg.eigvalsh(correlation)[0] if len(correlation) else 0.0
    if smallest < -ROUNDING:
        raise DataError(
            f"The correlations of the {counted(len(correlation), 'random effect')} of {group!r} contradict "
            f"each other (their matrix has the eigenvalue {smallest:.3g}); expected a matrix without "
            f"negative ones, so bring them nearer to zero."
        )


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the lower-triangular L with L L' equal to a matrix that may be singular."""
    L = np.zeros_like(covariance)
    for j in range(len(L)):
        left = covariance[j:, j] - L[j:, :j] @ L[j, :j]
        if left[0] > ROUNDING * covariance[j, j]:
            L[j:, j] = left / np.sqrt(left[0])
    return L
