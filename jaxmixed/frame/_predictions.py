"""Fitted values, residuals, predictions for old and new rows, and draws."""

from typing import Any, Literal

import pandas as pd

from jaxmixed import core

from ._check import check_count
from ._errors import DataError
from ._estimate import simulate
from ._fitted import FittedModel
from ._intervals import Scope, check_options, mixture_limits, normal_limits
from ._predict import NewLevels, PredictedRows, fitted_rows, new_rows, predicted_mean
from ._reduced import require_rows


class Predictions(FittedModel):
    """The part of a result that says what rows are expected to hold."""

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
        interval: Literal["confidence", "prediction"] | None = None,
        alpha: float = 0.05,
        draws: int | None = None,
        key: Any = None,
    ) -> pd.Series | pd.DataFrame:
        """Predict the response, or its mean, with limits if asked for.

        Limits are normal, prediction -/+ u se, or quantiles of a simulated mixture. They account for

            ============== =============== ====== ================== ============= ===========
            interval       re              beta   b of known levels  of new levels residual
            ============== =============== ====== ================== ============= ===========
            `"confidence"` `"conditional"` yes    yes, with beta     no            no
            `"confidence"` `"marginal"`    yes    no                 no            no
            `"prediction"` `"conditional"` yes    yes, with beta     z'Sigma z     sigma^2 / w
            `"prediction"` `"marginal"`    yes    z'Sigma z          z'Sigma z     sigma^2 / w
            ============== =============== ====== ================== ============= ===========

        and theta and sigma count as known, unless `draws` adds their uncertainty. A row to be predicted has
        the weight w = 1 if it is new, and its own if it was fitted.

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
        interval
            `None` for predictions alone, `"confidence"` for limits of the mean of the response given the
            random effects, `"prediction"` for limits of a response.
        alpha
            One less the coverage of the limits.
        draws
            If given, (theta, log sigma) is drawn so many times from its asymptotic normal distribution, those
            on the boundary held, and the limits are quantiles of the mixture of the predictions.
        key
            For `draws`: a seed, or a JAX random key. The limits depend on it alone.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            With the index of the rows; NaN where a covariate is missing. With limits, a frame of
            `predicted, se, conf_low, conf_high`.

        Raises
        ------
        DataError
            If `newdata` lacks a column or an offset, or holds unseen levels under `new_levels="error"`.

        References
        ----------
        Henderson (1975), doi:10.2307/2529430.

        Examples
        --------
        >>> import jaxmixed as jm, pandas as pd
        >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
        >>> new = pd.DataFrame({"Days": [0, 9]})
        >>> fit.predict(new, re="marginal", interval="prediction").round(1)
           predicted    se  conf_low  conf_high
        0      251.4  36.2     180.4      322.4
        1      345.6  67.0     214.2      477.0
        """
        check_options(re, new_levels, interval, draws, key)
        scope = Scope(re == "conditional", interval == "prediction")
        rows = self._rows_to_predict(newdata, scope, new_levels, offset)
        if interval is None:
            return self._points(rows, scope)
        stats = self._all_levels if scope.conditional else self.stats
        if draws is None:
            return normal_limits(rows, scope, self.theta, self.sigma, stats, alpha)
        drawn = core.on_scale(self._variance_parameters, stats.blocks, "theta")
        return mixture_limits(rows, scope, *drawn, stats, alpha, draws, key)

    def _points(self, rows: PredictedRows, scope: Scope) -> pd.Series:
        modes = self._modes if scope.conditional else None
        return pd.Series(predicted_mean(rows, self._estimates.beta, modes), rows.index, name="predicted")

    def _rows_to_predict(
        self, newdata: Any, scope: Scope, new_levels: NewLevels, offset: Any
    ) -> PredictedRows:
        if newdata is None and offset is not None:
            raise DataError(
                "offset was given without newdata; expected it for new rows only, so leave it out."
            )
        if newdata is None:
            return fitted_rows(self.frame)
        if offset is None and self.offset is not None:
            if not isinstance(self.offset, str):
                raise DataError(
                    "The fit had an offset given as numbers; expected offset=, a number for each new row."
                )
            offset = self.offset
        effects = "levels" if scope.conditional else "prior" if scope.response else "none"
        return new_rows(self.frame, newdata, effects, new_levels, offset)

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
        check_count("n", n)
        require_rows(self.frame, "simulate")
        estimates = self._estimates
        draws = simulate(self.frame.design, self.theta, estimates.beta, estimates.sigma, n, key)
        return pd.DataFrame(draws.T, index=self.frame.index)
