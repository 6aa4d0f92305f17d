"""The rows of a fitted model: fitted values, residuals, predictions and draws."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from ._check import check_choice
from ._errors import DataError
from ._estimate import simulate
from ._fitted import FittedModel
from ._predict import NewLevels, predict_new, predict_rows


class Rows(FittedModel):
    """The part of a result that is about observed and new rows."""

    @property
    def fittedvalues(self) -> pd.Series:
        """X beta + Z b + offset, with the index of the data."""
        return self.predict().rename("fitted")

    @property
    def resid(self) -> pd.Series:
        """Response less fitted values."""
        return pd.Series(self.y - self.fittedvalues.to_numpy(), self.frame.index, name="resid")

    def predict(
        self,
        newdata: Any = None,
        re: Literal["conditional", "marginal"] = "conditional",
        new_levels: NewLevels = "error",
        offset: Any = None,
    ) -> pd.Series:
        """Predict the response.

        Parameters
        ----------
        newdata
            A frame with the model's covariates; by default the rows that were fitted.
        re
            `"conditional"` adds the random effects of each row's groups, `"marginal"` sets them to zero.
        new_levels
            For levels that were not fitted: `"error"`, `"population"` (random effects of zero) or
            `"missing"` (NaN).
        offset
            For `newdata`, what `offset` was for the fit; by default the column of the same name.

        Returns
        -------
        pandas.Series
            With the index of the rows; NaN where a covariate is missing.

        Raises
        ------
        DataError
            If `newdata` lacks a column or an offset, or holds unseen levels under `new_levels="error"`.
        """
        check_choice("re", re, ("conditional", "marginal"))
        check_choice("new_levels", new_levels, ("error", "population", "missing"))
        modes = self._modes if re == "conditional" else None
        beta = self._estimates.beta
        if newdata is None and offset is not None:
            raise DataError(
                "offset was given without newdata; expected it for new rows only, so leave it out."
            )
        if newdata is None:
            return predict_rows(self.frame, beta, modes)
        if offset is None and self.offset is not None:
            if not isinstance(self.offset, str):
                raise DataError(
                    "The fit had an offset given as numbers; expected offset=, a number for each new row."
                )
            offset = self.offset
        return predict_new(self.frame, newdata, beta, modes, new_levels, offset)

    def simulate(self, n: int, key: Any) -> pd.DataFrame:
        """Draw n responses from the fitted model, with new random effects and residuals.

        Parameters
        ----------
        n
            Number of responses.
        key
            A seed, or a JAX random key. Column i depends on the key and on i alone.

        Returns
        -------
        pandas.DataFrame
            One row for each fitted row, one column for each draw.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise DataError(f"n is {n!r}; expected the number of responses to draw, 1 or more.")
        estimates = self._estimates
        draws = simulate(self.frame.design, self.theta, estimates.beta, estimates.sigma, n, key)
        return pd.DataFrame(draws.T, index=self.frame.index)
