"""The fitted model. Methods unpack, call a function, and label what comes back."""

from dataclasses import dataclass, field
from functools import cached_property
from math import erfc, sqrt
from typing import Any, Literal

import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_choice, check_new_response, check_residual
from ._data import ModelFrame
from ._errors import DataError
from ._estimate import estimate, simulate
from ._explained import Variances, icc, r2, variances
from ._predict import NewLevels, predict_new, predict_rows
from ._random import coefficients_frame, effects_frame, normal_quantile, varcorr_frame
from ._statistics import FitStatistics, warn_of
from ._summary import Summary, summarise


def fit_response(
    frame: ModelFrame,
    y: np.ndarray,
    conditioned: core.Conditioned,
    plan: core.Plan,
    reml: bool,
    offset: Any,
) -> "LmerResult":
    """Fit a model that has been read, conditioned and planned to one response, and warn in words."""
    stats = core.assemble(conditioned, plan, y, compress=True)
    check_residual(float(stats.scale), y, frame.response)
    result = LmerResult(frame, y, reml, offset, conditioned, plan, stats, estimate(stats, reml))
    warn_of(result)
    return result


@dataclass(frozen=True, eq=False, repr=False)
class LmerResult(FitStatistics):
    """A fitted linear mixed model. Immutable; tables are computed when first asked for."""

    frame: ModelFrame
    y: np.ndarray
    reml: bool
    offset: Any = field(repr=False)
    _conditioned: core.Conditioned = field(repr=False)
    _plan: core.Plan = field(repr=False)
    stats: core.SuffStats = field(repr=False)
    optimum: core.Fit = field(repr=False)

    # Fixed effects

    @property
    def params(self) -> pd.Series:
        """Estimates of the fixed effects."""
        return self._labelled(self._estimates.beta, "estimate")

    @property
    def bse(self) -> pd.Series:
        """Wald standard errors of the fixed effects, at the estimated variance parameters."""
        return self._labelled(np.sqrt(np.diagonal(self._estimates.vcov)), "std_error")

    @property
    def tvalues(self) -> pd.Series:
        """Estimates divided by their standard errors."""
        return (self.params / self.bse).rename("statistic")

    @property
    def df(self) -> pd.Series:
        """Degrees of freedom that `pvalues` and `conf_int` refer to: infinite, the normal distribution."""
        return self._labelled(np.full(len(self.params), np.inf), "df")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p values of the Wald z tests."""
        return self._labelled(np.array([erfc(abs(z) / sqrt(2)) for z in self.tvalues]), "p_value")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return Wald confidence intervals of the fixed effects with coverage 1 - alpha."""
        margin = normal_quantile(alpha) * self.bse
        return pd.DataFrame({"conf_low": self.params - margin, "conf_high": self.params + margin})

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects."""
        names = list(self.frame.fixed_names)
        return pd.DataFrame(self._estimates.vcov, index=names, columns=names)

    # Random part

    def varcorr(self) -> pd.DataFrame:
        """Return variances, standard deviations, correlations and shares of the total variance.

        A row with `term2` is a pair: its `variance` is the covariance, on the scale of the response.
        """
        return varcorr_frame(self.frame.groups, self._factors, self.sigma)

    def ranef(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the conditional modes of the random effects, with conditional standard errors.

        The limits are value -/+ z se. The standard errors hold beta, theta and sigma at their estimates.
        """
        return effects_frame(self.frame.groups, self._effects, normal_quantile(alpha))

    def coef(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the coefficients of every level: fixed plus random effect.

        The standard error adds the variance of the fixed effect to the conditional variance of the
        random one, as if they were independent.
        """
        quantile = normal_quantile(alpha)
        return coefficients_frame(self.frame.groups, self._effects, self.params, self.bse, quantile)

    def icc(self) -> pd.Series:
        """Return the intraclass correlation: the random effects' share of the variance.

        `adjusted` leaves the variance of the fixed part out of the total, `unadjusted` counts it
        (doi:10.1098/rsif.2017.0213).
        """
        return icc(self._variances)

    def r2(self) -> pd.Series:
        """Return R2 of the fixed part (`marginal`) and of fixed and random part (`conditional`).

        See Nakagawa, Johnson & Schielzeth (2017), doi:10.1098/rsif.2017.0213.
        """
        return r2(self._variances)

    # Rows

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

    def refit(self, y: Any) -> "LmerResult":
        """Fit the same model to another response for the same rows.

        Parameters
        ----------
        y
            One finite number for each fitted row, shape (nobs,), in the order of `fittedvalues`. The index
            of a Series is not looked at.
        """
        y = check_new_response(y, self.nobs, self.frame.response, self.frame.design.offset)
        return fit_response(self.frame, y, self._conditioned, self._plan, self.reml, self.offset)

    # Printing

    def summary(self) -> Summary:
        """Return the fit as text, and as HTML in a notebook."""
        return summarise(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # What the methods above share

    @cached_property
    def _estimates(self) -> core.Estimates:
        return core.estimates(self.theta, self.stats, self.reml)

    @cached_property
    def _variances(self) -> Variances:
        return variances(self.frame.design, self._estimates.beta, self._factors, self.sigma)

    @cached_property
    def _factors(self) -> list[np.ndarray]:
        return core.relative_factors(self.theta, self.stats.blocks)

    @cached_property
    def _all_levels(self) -> core.SuffStats:
        return core.assemble(self._conditioned, self._plan, self.y, compress=False)

    @cached_property
    def _modes(self) -> tuple[np.ndarray, ...]:
        return core.ranef_modes(self.theta, self._all_levels)

    @cached_property
    def _effects(self) -> tuple[core.RandomEffects, ...]:
        return core.ranef(self.theta, self._estimates.sigma, self._all_levels)

    def _labelled(self, values: np.ndarray, name: str) -> pd.Series:
        return pd.Series(values, index=list(self.frame.fixed_names), name=name)
