"""Confidence intervals of all parameters by all methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from jaxmixed import core

from ._bootstrap import bootstrap
from ._check import check_alpha, check_choice
from ._errors import DataError
from ._fitted import FittedModel
from ._labels import chosen, variance_labels
from ._profile import prepare, profile_intervals
from ._random import normal_quantile
from ._references import reference, reference_notes

if TYPE_CHECKING:
    from ._result import LmerResult

Method = Literal["satterthwaite", "kenward-roger", "wald", "residual", "profile", "bootstrap"]
REPLICATES, SEED = 2000, 0  # of intervals by bootstrap that were not told otherwise
Parm = Literal["fixed", "random", "all"]


def intervals(fit: LmerResult, alpha: float, method: str, parm: str) -> pd.DataFrame:
    """Return `conf_low` and `conf_high` of the parameters asked for."""
    check_alpha(alpha)
    check_choice("method", method, get_args(Method))
    check_choice("parm", parm, get_args(Parm))
    if parm != "fixed" and method not in ("wald", "profile", "bootstrap"):
        raise DataError(
            f"method is {method!r}, which has no intervals for variance parameters; expected 'profile', "
            f"'wald' or 'bootstrap' with parm={parm!r}."
        )
    if method == "profile":
        prepared = prepare(fit)
        table = profile_intervals(prepared, chosen(prepared.labels, prepared.kinds, parm), alpha)
        table.attrs["method"] = method
        return table
    if method == "bootstrap":
        return bootstrap(fit, REPLICATES, SEED, "parametric", None, False, None).conf_int(alpha, parm=parm)
    pieces = []
    if parm != "random":
        pieces.append(fixed_intervals(fit, alpha, method))
    if parm != "fixed":
        pieces.append(random_intervals(fit, alpha))
    table = pd.concat(pieces)
    table.attrs.update(method=method, notes=sum((piece.attrs["notes"] for piece in pieces), ()))
    return table


def fixed_intervals(fit: FittedModel, alpha: float, ddf: str) -> pd.DataFrame:
    """Return estimate -/+ t quantile x standard error."""
    names = list(fit.frame.fixed_names)
    single = reference(fit, ddf).t_test(np.eye(len(names)))
    margin = t_quantile(single.df, alpha) * single.std_error
    limits = {"conf_low": single.estimate - margin, "conf_high": single.estimate + margin}
    table = pd.DataFrame(limits, index=names)
    table.attrs["notes"] = reference_notes(fit, ddf)
    return table


def t_quantile(df: np.ndarray, alpha: float) -> np.ndarray:
    """Return how many standard errors the limits lie from the estimate; infinite df mean the normal."""
    finite = np.isfinite(df)
    return np.where(finite, stdtrit(np.where(finite, df, 1.0), 1 - alpha / 2), normal_quantile(alpha))


def random_intervals(fit: FittedModel, alpha: float) -> pd.DataFrame:
    """Return Wald intervals, symmetric in log sd and in atanh correlation.

    Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 2.4.
    """
    scaled = core.on_scale(fit._variance_parameters, fit.stats.blocks, "sdcor")
    labels, kinds = variance_labels(fit.frame, "sdcor")
    margin = normal_quantile(alpha) * np.sqrt(np.diagonal(scaled.vcov))
    ends = [_wald_limits(*row) for row in zip(scaled.values, margin, kinds, strict=True)]
    table = pd.DataFrame(ends, index=list(labels), columns=["conf_low", "conf_high"])
    lost = ", ".join(table.index[table["conf_low"].isna()])
    note = f"No Wald limits for {lost}: on the boundary, where no normal distribution holds."
    table.attrs["notes"] = (note,) if lost else ()
    return table


def _wald_limits(value: float, margin: float, kind: str) -> tuple[float, float]:
    if np.isnan(margin):
        return np.nan, np.nan
    if kind == "cor":
        centre, half = np.arctanh(value), margin / (1 - value**2)
        return np.tanh(centre - half), np.tanh(centre + half)
    return value * np.exp(-margin / value), value * np.exp(margin / value)
