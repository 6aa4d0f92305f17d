"""The fitted rows with what the model says of each: fitted value, residual, leverage, influence.

    h_i = w_i Var(x'beta-hat + z'b-hat - x'beta - z'b) / sigma^2,     r_i = sqrt(w_i) (y_i - fitted_i)

    Cook's distance = (r_i / (1 - h_i))^2 h_i / (sigma^2 p)

at the estimated theta, so that h is the diagonal of the matrix that takes y to its fitted values.
"""

import numpy as np
import pandas as pd

from jaxmixed import core

ROUNDING = 1e-12  # of one less a leverage


def leverages(design: core.Design, theta: np.ndarray, levels: core.SuffStats) -> np.ndarray:
    """Return h of every fitted row, shape (n,)."""
    variance = core.row_variance(theta, levels, design.X, design.terms)
    return variance if design.weights is None else design.weights * variance


def augment_frame(
    index: pd.Index,
    resid: np.ndarray,
    fixed: np.ndarray,
    fitted: np.ndarray,
    hat: np.ndarray,
    weights: np.ndarray | None,
    sigma: float,
    p: int,
) -> pd.DataFrame:
    """Return one row for each fitted row; rows of leverage one have no standardised residual.

    Parameters
    ----------
    index
        Labels of the rows.
    resid, fixed, fitted
        Residuals, X beta + offset and fitted values, shape (n,), in units of the response.
    hat
        Leverages, shape (n,).
    weights
        Prior weights, shape (n,), or `None` for ones.
    sigma
        Residual standard deviation of a row of weight one.
    p
        Number of fixed effects.
    """
    weights = np.ones(len(hat)) if weights is None else weights
    left = np.where(1 - hat > ROUNDING, 1 - hat, np.nan)
    pearson = np.sqrt(weights) * resid / sigma
    columns = {
        "fitted": fitted,
        "resid": resid,
        "hat": hat,
        "cooksd": (pearson / left) ** 2 * hat / p if p else np.full(len(hat), np.nan),
        "fixed": fixed,
        "std_resid": pearson / np.sqrt(left),
        "weights": weights,
    }
    return pd.DataFrame(columns, index=index)
