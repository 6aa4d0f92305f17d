"""One regression for each cluster: no pooling, beside the partial pooling of `lmer`."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._clusters import read_clusters
from ._data import model_frame
from ._errors import DroppedRowsWarning, SingularClusterWarning
from ._least_squares import LeastSquares, least_squares
from ._words import listed

# What `status` says of a cluster.
OK = "ok"
NO_ROWS = "no rows"
RANK_DEFICIENT = "rank deficient"
SATURATED = "saturated"


@dataclass(frozen=True, repr=False, eq=False)
class LmByResult:
    """Regressions of single clusters; made by `lm_by`. Every table has a row for each cluster.

    Attributes
    ----------
    formula, by
        The formula, and the name of the column of clusters.
    params, bse
        Coefficients and their standard errors, a column for each term.
    sigma, rsquared
        Residual standard deviation and share of variance explained.
    nobs, df_resid
        Rows used and residual degrees of freedom.
    status
        "ok"; "saturated" if there are as many coefficients as rows, so that estimates have no standard
        errors; "rank deficient" if the cluster's rows do not determine the coefficients, all NaN then;
        "no rows" if every row has a missing value.
    """

    formula: str
    by: str
    params: pd.DataFrame
    bse: pd.DataFrame
    sigma: pd.Series
    rsquared: pd.Series
    nobs: pd.Series
    df_resid: pd.Series
    status: pd.Series

    def __repr__(self) -> str:
        return f"LmByResult({self.formula!r}, by={self.by!r}, clusters={len(self.params)})"


def lm_by(formula: str, data: Any, by: str) -> LmByResult:
    """Fit the same regression to each cluster alone, all clusters at once.

    Factors are coded and transforms such as `poly` and `scale` learn from all the data, so that a
    coefficient means the same in every cluster.

    Parameters
    ----------
    formula
        As for `lmer`, without random terms. A formula is code, evaluated as Python: it must not
        come from a stranger.
    data
        A pandas or polars frame, or any other that narwhals reads.
    by
        Name of the column that says which cluster a row belongs to.

    Raises
    ------
    FormulaError, DataError
        Both ValueErrors, in one sentence: what was found, what was expected, and the remedy.

    Warns
    -----
    SingularClusterWarning
        If some clusters have too few rows, or too little variation, for the regression; they stay
        in the tables, and `status` says why.

    Examples
    --------
    >>> from jaxmixed import datasets
    >>> fits = lm_by("Reaction ~ Days", datasets.load("sleepstudy"), by="Subject")
    >>> fits.params.round(2).head(3)
             Intercept   Days
    Subject
    308         244.19  21.76
    309         205.05   2.26
    310         203.48   6.11
    """
    frame = model_frame(formula, data, random=False)
    clusters = read_clusters(data, by)
    kept = clusters.codes[frame.kept]
    used = kept >= 0
    design = frame.design
    y = np.asarray(design.y if design.offset is None else design.y - design.offset)
    fit = least_squares(np.asarray(design.X)[used], y[used], kept[used], len(clusters.levels))
    result = _result(formula, by, fit, frame.fixed_names, clusters.levels.rename(by))
    _warn(result, int((~used).sum()), by)
    return result


def _result(formula: str, by: str, fit: LeastSquares, names: tuple[str, ...], index: pd.Index) -> LmByResult:
    singular = np.any(fit.aliased, axis=1)
    status = np.select([fit.nobs == 0, singular, fit.df_resid == 0], [NO_ROWS, RANK_DEFICIENT, SATURATED], OK)
    sd = np.sqrt(np.where(fit.df_resid > 0, fit.variance, np.nan))

    def series(values: np.ndarray, name: str) -> pd.Series:
        return pd.Series(values, index, name=name)

    def table(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(np.where(singular[:, None], np.nan, values), index, pd.Index(names))

    return LmByResult(
        formula=formula,
        by=by,
        params=table(fit.beta),
        bse=table(np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2))),
        sigma=series(np.where(singular, np.nan, sd), "sigma"),
        rsquared=series(np.where(singular, np.nan, fit.rsquared), "rsquared"),
        nobs=series(fit.nobs, "nobs"),
        df_resid=series(fit.df_resid, "df_resid"),
        status=series(status, "status"),
    )


def _warn(result: LmByResult, n_missing: int, by: str) -> None:
    if n_missing:
        warnings.warn(f"Dropped {n_missing} rows whose {by!r} is missing.", DroppedRowsWarning, stacklevel=3)
    bad = result.status.loc[lambda status: status != OK]
    if len(bad):
        warnings.warn(
            f"{len(bad)} of {len(result.status)} clusters of {by!r} cannot be fitted by themselves "
            f"({', '.join(f'{n} {s}' for s, n in bad.value_counts().items())}): {listed(bad.index, 5)}; "
            f"their estimates are NaN as far as they are undetermined, see status.",
            SingularClusterWarning,
            stacklevel=3,
        )
