"""A mixed model as an estimator of scikit-learn: formula in the constructor, data frames in and numbers out.

    clone, set_params -> fit(X, y): lmer of X with y as its response -> predict(X)

Only this module needs scikit-learn, and it is imported when `jm.MixedRegressor` is first asked for.
"""

from typing import Any, Literal

import numpy as np
import pandas as pd

from ._check import check_choice
from ._errors import DataError, FormulaError
from ._formula import parse, plain
from ._model import lmer

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        'jm.MixedRegressor needs scikit-learn, which is not installed; run: pip install "jaxmixed[sklearn]".'
    ) from error


class MixedRegressor(RegressorMixin, BaseEstimator):
    """A linear mixed model for scikit-learn's cross-validation, searches and pipelines on data frames.

        predict(X) = X beta + Z b,   b = 0 for levels that were not fitted

    Groups that differ between training and test rows need `GroupKFold`, which asks how well the model
    predicts groups it has never seen; other splits ask about further rows of known ones.

    Parameters
    ----------
    formula
        As in `lmer`. Its response is a plain name, under which the formula sees `y`; a transformed response
        belongs in `sklearn.compose.TransformedTargetRegressor`.
    reml
        Restricted likelihood (default) or likelihood.
    new_levels
        What `predict` does with levels that were not fitted: `"population"` predicts them without their
        random effects, `"error"` refuses them.

    Attributes
    ----------
    result_
        The fitted model, a `LmerResult`, with all its tables.
    feature_names_in_, n_features_in_
        Columns of the frame that was fitted, and their number.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> sleep = jm.datasets.load("sleepstudy")
    >>> model = jm.MixedRegressor("Reaction ~ Days + (Days | Subject)")
    >>> errors = cross_val_score(
    ...     model,
    ...     sleep,
    ...     sleep["Reaction"],
    ...     groups=sleep["Subject"],
    ...     cv=GroupKFold(6),
    ...     scoring="neg_mean_absolute_error",
    ... )
    >>> round(-float(errors.mean()), 1)  # milliseconds by which the reactions of a new subject are missed
    37.8
    """

    def __init__(
        self,
        formula: str,
        *,
        reml: bool = True,
        new_levels: Literal["population", "error"] = "population",
    ) -> None:
        self.formula = formula
        self.reml = reml
        self.new_levels: Literal["population", "error"] = new_levels

    def fit(self, X: pd.DataFrame, y: Any, sample_weight: Any = None) -> "MixedRegressor":
        """Fit the model.

        Parameters
        ----------
        X
            A data frame with the covariates and grouping factors of the formula; further columns do no harm.
        y
            The response, one number a row, in the order of X whatever its index. A column of X with its name
            is not looked at.
        sample_weight
            Prior weights, one positive number a row.

        Raises
        ------
        FormulaError, DataError
            As `lmer`, and if the response is an expression, X no data frame, or `new_levels` unknown.
        """
        name = _response(self.formula)
        check_choice("new_levels", self.new_levels, ("population", "error"))
        frame = _frame(X).assign(**{name: _target(y, len(X))})
        weights = None if sample_weight is None else np.asarray(sample_weight)
        self.result_ = lmer(self.formula, frame, reml=self.reml, weights=weights)
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict the rows of a data frame, with the random effects of the levels that were fitted.

        Rows with a missing value are predicted as NaN.
        """
        check_is_fitted(self)
        return self.result_.predict(_frame(X), new_levels=self.new_levels).to_numpy()


def _response(formula: str) -> str:
    response = parse(formula).response
    name = plain(response)
    if name == response and not name.isidentifier():
        raise FormulaError(
            f"The response of {formula!r} is an expression; expected a name, under which the formula sees y, "
            f"so transform y, with sklearn.compose.TransformedTargetRegressor say."
        )
    return name


def _frame(X: Any) -> pd.DataFrame:
    if not isinstance(X, pd.DataFrame):
        raise DataError(
            f"X is of type {type(X).__name__}; expected a pandas DataFrame with the columns of the formula, "
            f"so call set_output(transform='pandas') on the steps before."
        )
    return X


def _target(y: Any, n: int) -> np.ndarray:
    target = np.asarray(y)
    if target.shape != (n,):
        raise DataError(f"y has shape {target.shape}; expected ({n},), one number for each row of X.")
    return target
