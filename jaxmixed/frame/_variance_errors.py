"""Wald standard errors of variance components, on every scale, and why some have none."""

from typing import get_args

import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_choice
from ._fitted import FittedModel
from ._labels import variance_labels

ON_BOUNDARY = "on the boundary: its covariance matrix is singular, and estimates there are not normal"


def variance_covariances(fit: FittedModel, scale: core.Scale) -> pd.DataFrame:
    """Return the asymptotic covariance matrix of the variance parameters on one scale."""
    check_choice("scale", scale, get_args(core.Scale))
    scaled = core.on_scale(fit._variance_parameters, fit.stats.blocks, scale)
    labels = list(variance_labels(fit.frame, scale)[0])
    return pd.DataFrame(scaled.vcov, index=labels, columns=labels)


def with_standard_errors(fit: FittedModel, table: pd.DataFrame) -> pd.DataFrame:
    """Add `variance_se`, `sd_se`, `corr_se` and `note` to a table of variance components."""
    single = table["term2"].isna()
    by_variance = _standard_errors(fit, "varcov", "var", "cov", "sigma^2", table)
    by_deviation = _standard_errors(fit, "sdcor", "sd", "cor", "sigma", table)
    note = np.where(np.isnan(by_variance), ON_BOUNDARY, "")
    return table.assign(
        variance_se=by_variance,
        sd_se=np.where(single, by_deviation, np.nan),
        corr_se=np.where(single, np.nan, by_deviation),
        note=note,
    )


def _standard_errors(
    fit: FittedModel, scale: core.Scale, one: str, two: str, last: str, table: pd.DataFrame
) -> np.ndarray:
    vcov = variance_covariances(fit, scale)
    errors = dict(zip(vcov.index, np.sqrt(np.diagonal(vcov)), strict=True))

    def label(group: str, term: str | None, term2: str | None) -> str:
        if pd.isna(term):
            return last
        return f"{one}({term} | {group})" if pd.isna(term2) else f"{two}({term}, {term2} | {group})"

    rows = zip(table["group"], table["term"], table["term2"], strict=True)
    return np.array([errors[label(*row)] for row in rows])
