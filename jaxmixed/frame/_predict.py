"""Predictions: X beta + offset, plus the random effects of each row's groups where wanted."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from jaxmixed import core

from ._data import ModelFrame
from ._newdata import NewTerm, new_design, unseen_levels
from ._reduced import require_rows

NewLevels = Literal["error", "population", "missing"]
Effects = Literal["none", "prior", "levels"]
Modes = tuple[np.ndarray, ...]


class PredictedRows(NamedTuple):
    """Rows to be predicted, fitted or new, as arrays.

    Attributes
    ----------
    X
        Fixed-effects matrix, shape (m, p); NaN where the row cannot be predicted.
    terms
        Covariates and level codes of each grouping factor, -1 where no level is known.
    offset, weights
        Shape (m,); weights are one for new rows.
    index
        Labels of the rows.
    """

    X: np.ndarray
    terms: Sequence[core.RandomTerm | NewTerm]
    offset: np.ndarray
    weights: np.ndarray
    index: pd.Index


def fitted_rows(frame: ModelFrame) -> PredictedRows:
    """Return the rows that were fitted."""
    require_rows(frame, "A prediction of the fitted rows", "pass newdata, or fit a data frame")
    design, n = frame.design, len(frame.index)
    offset = np.zeros(n) if design.offset is None else design.offset
    weights = np.ones(n) if design.weights is None else design.weights
    return PredictedRows(design.X, design.terms, offset, weights, frame.index)


def new_rows(
    frame: ModelFrame, newdata: Any, effects: Effects, new_levels: NewLevels, offset: Any
) -> PredictedRows:
    """Return new rows, built with the coding of the fitted ones.

    `effects` says what to read of the random terms: nothing, their covariates, or the levels too.
    """
    levels = effects == "levels"
    new = new_design(frame, newdata, random=effects != "none", offset=offset, levels=levels)
    if levels and new_levels == "error":
        unseen_levels(frame, new)
    X, n = new.X, len(new.index)
    if levels and new_levels == "missing":
        known = np.all([term.codes >= 0 for term in new.terms], axis=0)
        X = np.where(known[:, None], X, np.nan)
    total = np.zeros(n) if new.offset is None else new.offset
    return PredictedRows(X, new.terms, total, np.ones(n), new.index)


def predicted_mean(rows: PredictedRows, beta: np.ndarray, modes: Modes | None) -> np.ndarray:
    """Return X beta + offset, plus z'b of known levels if modes are given, shape (m,)."""
    mean = rows.X @ beta + rows.offset
    for term, b in zip(rows.terms, modes or (), strict=modes is not None):
        known = term.codes >= 0
        mean = mean + np.where(known, (term.z * b[np.where(known, term.codes, 0)]).sum(axis=1), 0.0)
    return mean


def predict_new(frame: ModelFrame, newdata: Any, beta: np.ndarray) -> pd.Series:
    """Predict new rows by the fixed effects."""
    rows = new_rows(frame, newdata, "none", "error", None)
    return pd.Series(predicted_mean(rows, beta, None), rows.index, name="predicted")
