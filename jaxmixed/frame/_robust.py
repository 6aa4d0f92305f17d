"""Cluster-robust standard errors and tests of the fixed effects."""

from typing import Any, get_args

import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_choice
from ._errors import DataError
from ._fitted import FittedModel
from ._reduced import require_rows


def robust_tests(fit: FittedModel, kind: str, cluster: Any) -> core.TTest:
    """Test each coefficient with a cluster-robust standard error and Satterthwaite's degrees of freedom."""
    robust = robust_covariance(fit, kind, cluster)
    se = np.sqrt(np.diagonal(robust.vcov))
    df = core.sandwich_df(np.eye(len(se)), robust)
    statistic = robust.beta / se
    return core.TTest(robust.beta, se, df, statistic, core.t_pvalue(statistic, df))


def robust_covariance(fit: FittedModel, kind: str, cluster: Any) -> core.Sandwich:
    """Return a sandwich by CR0, CR1 or CR2; `cluster` names a grouping factor, or has a label a row.

    Raises
    ------
    DataError
        If a kind or a factor is unknown, if labels are missing, or if random effects are shared between
        clusters.
    """
    require_rows(fit.frame, "A robust covariance")
    check_choice("robust", kind, get_args(core.SandwichKind))
    try:
        return core.sandwich(fit.frame.design, fit.theta, kind, _codes(fit, cluster))  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise DataError(str(error)) from None


def _codes(fit: FittedModel, cluster: Any) -> np.ndarray | None:
    if cluster is None:
        return None
    if isinstance(cluster, str):
        names = [labels.name for labels in fit.frame.groups]
        check_choice("cluster", cluster, tuple(names))
        return fit.frame.design.terms[names.index(cluster)].codes
    codes, _ = pd.factorize(np.asarray(cluster))
    if codes.shape != (fit.nobs,) or (codes < 0).any():
        raise DataError(
            f"cluster has shape {np.shape(cluster)}, {int(np.sum(codes < 0))} labels of it missing; expected "
            f"the name of a grouping factor, or one label for each of the {fit.nobs} fitted rows."
        )
    return codes
