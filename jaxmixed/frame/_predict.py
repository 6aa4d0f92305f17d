"""Predictions: X beta + offset, plus the random effects of each row's groups where wanted."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from ._data import ModelFrame
from ._newdata import new_design, unseen_levels

NewLevels = Literal["error", "population", "missing"]
Modes = tuple[np.ndarray, ...]


def predict_rows(frame: ModelFrame, beta: np.ndarray, modes: Modes | None) -> pd.Series:
    """Predict the rows that were fitted; `modes` is `None` for marginal predictions."""
    design = frame.design
    mean = design.X @ beta
    if design.offset is not None:
        mean = mean + design.offset
    for term, b in zip(design.terms, modes or (), strict=modes is not None):
        mean = mean + (term.z * b[term.codes]).sum(axis=1)
    return pd.Series(mean, frame.index, name="predicted")


def predict_new(
    frame: ModelFrame,
    newdata: Any,
    beta: np.ndarray,
    modes: Modes | None,
    new_levels: NewLevels,
    offset: Any,
) -> pd.Series:
    """Predict new rows, built with the coding of the fitted ones."""
    new = new_design(frame, newdata, random=modes is not None, offset=offset)
    mean = new.X @ beta
    if new.offset is not None:
        mean = mean + new.offset
    if modes is not None:
        if new_levels == "error":
            unseen_levels(frame, new)
        for (z, codes), b in zip(new.terms, modes, strict=True):
            known = codes >= 0
            effect = np.full(len(mean), 0.0 if new_levels == "population" else np.nan)
            effect[known] = (z[known] * b[codes[known]]).sum(axis=1)
            mean = mean + effect
    return pd.Series(mean, new.index, name="predicted")
