"""Results as plain frames with broom.mixed's columns, dots turned into underscores.

`tidy` has one row a parameter, `glance` one row a model, `augment` (in its own module) one an observation.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

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
    pieces = []
    if "fixed" in kinds:
        pieces.append(_coefficients(fit, ddf, alpha, robust, cluster))
    if "ran_pars" in kinds:
        pieces.append(_variance_components(fit, alpha))
    if "ran_vals" in kinds:
        pieces.append(_random_effects(fit, alpha))
    table = pd.DataFrame({name: _joined(pieces, name) for name in COLUMNS}).infer_objects()
    notes = sum((piece.notes for piece in pieces), ())
    table.attrs.update(method=pieces[0].method if "fixed" in kinds else None, notes=notes)
    return table


class Piece(NamedTuple):
    """Some rows of the table: columns by name, each an array or what all rows share, and what goes with them.

    Frames would take longer to make than what is in them.
    """

    columns: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    method: str | None = None


def _joined(pieces: list[Piece], name: str) -> np.ndarray:
    """Join one column of several pieces, missing where a piece has none."""
    dtype = object if name in TEXT else float
    columns = []
    for piece in pieces:
        column = np.empty(len(piece.columns["estimate"]), dtype)
        column[:] = piece.columns.get(name, np.nan)
        columns.append(column)
    return np.concatenate(columns)


def _coefficients(fit: "LmerResult", ddf: str, alpha: float, robust: str | None, cluster: Any) -> Piece:
    """Return the fixed effects with their t tests."""
    if robust is None:
        single = reference(fit, ddf).t_test(np.eye(len(fit.frame.fixed_names)))
        method, notes = TITLES[ddf], reference_notes(fit, ddf)
    else:
        single, method, notes = robust_tests(fit, robust, cluster), f"{robust} cluster-robust", ()
    margin = t_quantile(single.df, alpha) * single.std_error
    limits = {"conf_low": single.estimate - margin, "conf_high": single.estimate + margin}
    named = {"effect": "fixed", "term": fit.frame.fixed_names}
    return Piece(named | single._asdict() | limits, notes, method)


def _variance_components(fit: "LmerResult", alpha: float) -> Piece:
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
    columns = {
        "effect": "ran_pars",
        "group": groups,
        "term": terms,
        "estimate": scaled.values,
        "std_error": np.sqrt(np.diagonal(scaled.vcov)),
        "conf_low": limits["conf_low"].to_numpy(),
        "conf_high": limits["conf_high"].to_numpy(),
    }
    return Piece(columns, limits.attrs["notes"])


def _random_effects(fit: "LmerResult", alpha: float) -> Piece:
    """Return the conditional mode of every random effect."""
    table = fit.ranef(alpha).rename(
        columns={"group": "level", "effect": "term", "value": "estimate", "se": "std_error"}
    )
    renamed = table.rename(columns={"group_var": "group", "lower": "conf_low", "upper": "conf_high"})
    return Piece({name: renamed[name].to_numpy() for name in renamed} | {"effect": "ran_vals"})


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
