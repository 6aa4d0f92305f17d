"""Shares of variance: the intraclass correlation and R2 of a mixed model.

With v_f the variance of X beta over the rows, v_r the mean of the diagonal of Z Sigma Z' and v_e = sigma^2,

    R2 marginal = v_f / (v_f + v_r + v_e)       R2 conditional = (v_f + v_r) / (v_f + v_r + v_e)
    ICC adjusted = v_r / (v_r + v_e)            ICC unadjusted = v_r / (v_f + v_r + v_e)

(Nakagawa, Johnson & Schielzeth 2017, doi:10.1098/rsif.2017.0213; with random slopes, Johnson 2014,
doi:10.1111/2041-210X.12225.)
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxmixed import core


class Variances(NamedTuple):
    """Variances of the fixed part, of the random part and of the residuals, in squared units of y."""

    fixed: float
    random: float
    residual: float


def variances(design: core.Design, beta: np.ndarray, factors: list[np.ndarray], sigma: float) -> Variances:
    """Return the variance that each part of the model adds to a row."""
    fixed = float(np.var(design.X @ beta, ddof=1))
    random = sum(
        float(((term.z @ factor) ** 2).sum(axis=1).mean())
        for term, factor in zip(design.terms, factors, strict=True)
    )
    return Variances(fixed, sigma**2 * random, sigma**2)


def icc(parts: Variances) -> pd.Series:
    """Return the adjusted and the unadjusted intraclass correlation."""
    adjusted = parts.random / (parts.random + parts.residual)
    return pd.Series({"adjusted": adjusted, "unadjusted": parts.random / sum(parts)}, name="icc")


def r2(parts: Variances) -> pd.Series:
    """Return marginal and conditional R2."""
    total = sum(parts)
    both = parts.fixed + parts.random
    return pd.Series({"marginal": parts.fixed / total, "conditional": both / total}, name="r2")
