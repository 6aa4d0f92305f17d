"""Results as plain frames with broom.mixed's columns, dots turned into underscores.

`tidy` has one row a parameter, `glance` one row a model, `augment` (in its own module) one an observation.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxmixed import core

from ._confidence import t_quantile
from ._errors import DataError
from ._references import TITLES, reference, reference_notes
from ._robust import robust_tests

if TYPE_CHECKING:
    from ._result import LmerResult

EFFECTS = ("fixed", "ran_pars", "ran_vals")
TEXT = ("effect", "group", "level", "term")
COLUMNS = (*TEXT, "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high")


def tidy(
    fit: "LmerResult", effects: str | Iterable[str], ddf: str, alpha: float, robust: str | None, cluster: Any
) -> pd.DataFrame:
    """Return one row for each parameter of the kinds asked for."""
    kinds = (effects,) if isinstance(effects, str) else tuple(effects)
    if not kinds or not set(kinds) <= set(EFFECTS):
        raise DataError(f"effects is {effects!r}; expected one or more of {', '.join(map(repr, EFFECTS))}.")
    method, notes = None, ()
    pieces = []
    if "fixed" in kinds:
        pieces.append(coefficients(fit, ddf, alpha, robust, cluster))
        method, notes = pieces[0].attrs["method"], pieces[0].attrs["notes"]
    if "ran_pars" in kinds:
        pieces.append(variance_components(fit, alpha))
        notes += pieces[-1].attrs["notes"]
    if "ran_vals" in kinds:
        pieces.append(random_effects(fit, alpha))
    table = pd.DataFrame({name: _joined(pieces, name) for name in COLUMNS}).infer_objects()
    table.attrs.update(method=method, notes=notes)
    return table


def _joined(pieces: list[pd.DataFrame], name: str) -> np.ndarray:
    """Join one column of several tables, missing where a table has none: pandas takes ten times longer."""
    dtype = object if name in TEXT else float
    columns = (
        piece[name].to_numpy(dtype) if name in piece else np.full(len(piece), np.nan, dtype)
        for piece in pieces
    )
    return np.concatenate(list(columns))


def coefficients(
    fit: "LmerResult", ddf: str, alpha: float, robust: str | None = None, cluster: Any = None
) -> pd.DataFrame:
    """Return the fixed effects with their t tests; `.attrs` names the method and holds its notes."""
    if robust is None:
        single = reference(fit, ddf).t_test(np.eye(len(fit.frame.fixed_names)))
        method, notes = TITLES[ddf], reference_notes(fit, ddf)
    else:
        single, method, notes = robust_tests(fit, robust, cluster), f"{robust} cluster-robust", ()
    margin = t_quantile(single.df, alpha) * single.std_error
    table = pd.DataFrame(
        {
            "effect": "fixed",
            "term": list(fit.frame.fixed_names),
            "estimate": single.estimate,
            "std_error": single.std_error,
            "statistic": single.statistic,
            "df": single.df,
            "p_value": single.p_value,
            "conf_low": single.estimate - margin,
            "conf_high": single.estimate + margin,
        }
    )
    table.attrs.update(method=method, notes=notes)
    return table


def variance_components(fit: "LmerResult", alpha: float) -> pd.DataFrame:
    """Return standard deviations, correlations and sigma with Wald standard errors and intervals."""
    scaled = core.on_scale(fit._variance_parameters, fit.stats.blocks, "sdcor")
    limits = fit.conf_int(alpha, "wald", "random")
    names = []
    for group in fit.frame.groups:
        for term in group.terms:
            for j, name in enumerate(term):
                names.append((group.name, f"sd__{name}"))
                names += [(group.name, f"cor__{name}.{other}") for other in term[j + 1 :]]
    names.append(("Residual", "sd__Observation"))
    groups, terms = zip(*names, strict=True)
    table = pd.DataFrame(
        {
            "effect": "ran_pars",
            "group": groups,
            "term": terms,
            "estimate": scaled.values,
            "std_error": np.sqrt(np.diagonal(scaled.vcov)),
            "conf_low": limits["conf_low"].to_numpy(),
            "conf_high": limits["conf_high"].to_numpy(),
        }
    )
    table.attrs["notes"] = limits.attrs["notes"]
    return table


def random_effects(fit: "LmerResult", alpha: float) -> pd.DataFrame:
    """Return the conditional mode of every random effect."""
    table = fit.ranef(alpha).rename(
        columns={"group": "level", "effect": "term", "value": "estimate", "se": "std_error"}
    )
    renamed = table.rename(columns={"group_var": "group", "lower": "conf_low", "upper": "conf_high"})
    return renamed.assign(effect="ran_vals")


def glance(fit: "LmerResult") -> pd.DataFrame:
    """Return one row about the model as a whole."""
    row = {
        "nobs": fit.nobs,
        "sigma": fit.sigma,
        "logLik": fit.llf,
        "AIC": fit.aic,
        "BIC": fit.bic,
        "REMLcrit" if fit.reml else "deviance": fit.criterion,
        "df_residual": fit.df_resid,
        "AICc": fit.aicc,
        "converged": fit.converged,
        "singular": fit.is_singular,
    }
    return pd.DataFrame([row])
