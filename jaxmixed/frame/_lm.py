"""Ordinary regression of all rows together: complete pooling, beside the partial pooling of `lmer`.

y = offset + X beta + e,   e ~ N(0, sigma^2 I)
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ._check import check_alpha
from ._data import ModelFrame, model_frame
from ._least_squares import LeastSquares, least_squares
from ._predict import predict_new
from ._summary import Section, Summary, coefficient_table, format_p


@dataclass(frozen=True, repr=False, eq=False)
class LmResult:
    """A linear regression by ordinary least squares; made by `lm`.

    Attributes
    ----------
    formula
        The formula as given.
    params
        Coefficients, by name. Columns that are linear combinations of others have none; `aliased`
        names them.
    fittedvalues, resid
        For each row used, with the index of the data.
    nobs, n_dropped
        Rows used, and rows left out because a variable is missing there.
    df_model, df_resid
        Degrees of freedom of the model, the intercept not counted, and of the residuals.
    sigma
        Residual standard deviation, on the scale of the response.
    rsquared
        Share of variance explained; about zero, not the mean, if the model has no intercept.
    """

    formula: str
    params: pd.Series
    fittedvalues: pd.Series
    resid: pd.Series
    aliased: tuple[str, ...]
    nobs: int
    n_dropped: int
    df_model: int
    df_resid: int
    sigma: float
    rsquared: float
    _cov: np.ndarray = field(repr=False)
    _frame: ModelFrame = field(repr=False)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        return pd.DataFrame(self._cov, self.params.index, self.params.index)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(np.diag(self._cov)), self.params.index, name="std_error")

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients divided by their standard errors."""
        return (self.params / self.bse).rename("statistic")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p values of the t test that a coefficient is zero."""
        from scipy.special import stdtr

        return pd.Series(2 * stdtr(self.df_resid, -self.tvalues.abs()), self.params.index, name="p_value")

    @property
    def rsquared_adj(self) -> float:
        """`rsquared` with each sum of squares divided by its degrees of freedom."""
        return 1 - (1 - self.rsquared) * (self.df_model + self.df_resid) / self.df_resid

    @property
    def fvalue(self) -> float:
        """F statistic of the test that all coefficients but the intercept are zero."""
        if self.df_model == 0:
            return math.nan
        unexplained = (1 - self.rsquared) / self.df_resid
        return math.inf if unexplained == 0 else self.rsquared / self.df_model / unexplained

    @property
    def f_pvalue(self) -> float:
        """Tail probability of `fvalue` with `df_model` and `df_resid` degrees of freedom."""
        from scipy.special import fdtrc

        return float(fdtrc(self.df_model, self.df_resid, self.fvalue)) if self.df_model else math.nan

    @property
    def llf(self) -> float:
        """Maximised log-likelihood."""
        variance = self.sigma**2 * self.df_resid / self.nobs
        return -self.nobs / 2 * (math.log(2 * math.pi * variance) + 1) if variance > 0 else math.inf

    @property
    def aic(self) -> float:
        """Akaike's criterion; sigma counts as a parameter, as in R and in `lmer`."""
        return -2 * self.llf + 2 * (len(self.params) + 1)

    @property
    def bic(self) -> float:
        """Schwarz's criterion; sigma counts as a parameter, as in R and in `lmer`."""
        return -2 * self.llf + math.log(self.nobs) * (len(self.params) + 1)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return limits that cover each coefficient with probability 1 - alpha."""
        from scipy.special import stdtrit

        check_alpha(alpha)
        half = stdtrit(self.df_resid, 1 - alpha / 2) * self.bse
        return pd.DataFrame({"conf_low": self.params - half, "conf_high": self.params + half})

    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return one row for each coefficient, in broom's columns with underscores for dots."""
        columns = [self.params, self.bse, self.tvalues, self.pvalues]
        table = pd.concat(columns, axis=1).join(self.conf_int(alpha))
        return table.rename_axis("term").reset_index()

    def predict(self, newdata: Any = None) -> pd.Series:
        """Return X beta + offset for new rows, NaN where a covariate is missing.

        Transforms keep what they learnt in the fit, and factors their levels; without `newdata`
        these are the fitted values.
        """
        if newdata is None:
            return self.fittedvalues
        return predict_new(self._frame, newdata, self.params.to_numpy())

    def summary(self) -> Summary:
        """Return the regression as text, to print, or as HTML in a notebook."""
        return _summary(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def lm(formula: str, data: Any) -> LmResult:
    """Fit a linear regression by ordinary least squares.

    Parameters
    ----------
    formula
        As for `lmer`, without random terms: "gpa ~ occasion + sex". A formula is code, evaluated
        as Python: it must not come from a stranger.
    data
        A pandas or polars frame, or any other that narwhals reads. Rows with a missing value in
        a variable of the model are left out.

    Raises
    ------
    FormulaError, DataError
        Both ValueErrors, in one sentence: what was found, what was expected, and the remedy.

    Examples
    --------
    >>> from jaxmixed import datasets
    >>> fit = lm("Reaction ~ Days", datasets.load("sleepstudy"))
    >>> fit.params.round(3).tolist()
    [251.405, 10.467]
    >>> round(fit.sigma, 3)
    47.715
    """
    frame = model_frame(formula, data, random=False)
    design, index = frame.design, frame.index
    offset = np.zeros(len(index)) if design.offset is None else design.offset
    y = np.asarray(design.y - offset)
    fit = least_squares(np.asarray(design.X), y, np.zeros(len(y), int), 1)
    return _result(formula, frame, fit, design.y)


def _result(formula: str, frame: ModelFrame, fit: LeastSquares, y: Any) -> LmResult:
    series = functools.partial(pd.Series, index=frame.index)
    return LmResult(
        formula=formula,
        params=pd.Series(fit.beta[0], frame.fixed_names, name="estimate"),
        fittedvalues=series(y - fit.residual, name="fitted"),
        resid=series(fit.residual, name="resid"),
        aliased=frame.aliased,
        nobs=int(fit.nobs[0]),
        n_dropped=frame.n_dropped,
        df_model=int(fit.rank[0] - fit.centred[0]),
        df_resid=int(fit.df_resid[0]),
        sigma=float(np.sqrt(fit.variance[0])),
        rsquared=float(fit.rsquared[0]),
        _cov=fit.cov[0],
        _frame=frame,
    )


def _summary(fit: LmResult) -> Summary:
    rows = f"{fit.nobs}" + f" ({fit.n_dropped} dropped for missing values)" * bool(fit.n_dropped)
    share = f"{fit.rsquared:.4f} (adjusted {fit.rsquared_adj:.4f})"
    facts = [("Formula", fit.formula), ("Rows", rows), ("R2", share)]
    if fit.df_model:
        p = format_p(fit.f_pvalue)
        facts.append(("F test", f"F({fit.df_model}, {fit.df_resid}) = {fit.fvalue:.4g}, p-value {p}"))
    facts.append(("Residual SD", f"{fit.sigma:.4g} on {fit.df_resid} degrees of freedom"))
    aliased = f"Left out as linear combinations of other columns: {', '.join(fit.aliased)}."
    return Summary(
        title="Linear regression by ordinary least squares",
        facts=tuple(facts),
        sections=(Section("Coefficients (t tests, 95% intervals)", coefficient_table(fit.tidy(), "t")),),
        notes=(aliased,) if fit.aliased else (),
    )
