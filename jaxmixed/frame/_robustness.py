"""How many rows or groups a conclusion rests on: the fewest that would overturn it, found and then left out.

To first order, leaving out rows changes an estimate by the sum of their influences, so that the smallest set
that overturns a conclusion consists of the most influential ones (Broderick, Giordano & Meager 2020,
arXiv:2011.14999). The model is then fitted again without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from jaxmixed import core

from ..core._programs import QUICKEST, Program
from ._check import check_alpha, check_choice
from ._errors import DataError
from ._estimate import curvature, estimate
from ._influence import FEWEST
from ._references import reference

if TYPE_CHECKING:
    from ._fitted import FittedModel

By = Literal["rows", "groups"]


@dataclass(frozen=True, eq=False)
class Robustness:
    """The fewest rows or groups on which two conclusions about a coefficient rest: sign and significance.

    Attributes
    ----------
    term, by
        The coefficient, and what is left out: "rows" or "groups".
    table
        For each conclusion, how many to leave out (`n_dropped`, missing if not even half of all would do)
        and their `share`; the estimate `predicted` without them, and `estimate` and `p_value` when the
        model is fitted again; whether the conclusion is then `overturned`.
    dropped
        For each conclusion, the labels of the rows or groups left out, the most influential first.
    influence
        By how much the estimate falls, to first order, when a row or group is left out.
    """

    term: str
    by: By
    table: pd.DataFrame
    dropped: dict[str, list[Any]] = field(repr=False)
    influence: pd.Series = field(repr=False)


class _Conclusion(NamedTuple):
    """A set that should overturn a conclusion, and what the model says without it."""

    found: core.SmallestSet
    predicted: float
    estimate: float
    p_value: float
    overturned: bool


def robustness(fit: FittedModel, term: str, by: By, alpha: float) -> Robustness:
    """Find and confirm the smallest sets that change sign and significance of a coefficient."""
    position, labels, rows_of = _checked(fit, term, by, alpha)
    test = reference(fit, "satterthwaite").t_test(np.eye(len(fit.frame.fixed_names)))
    whole, p_value, df = (float(a[position]) for a in (test.estimate, test.p_value, test.df))
    sign, quantile = float(np.sign(whole)), float(stdtrit(df, 1 - alpha / 2))
    by_estimate, by_margin = _influences(fit, by, position, sign, quantile)
    slopes = sign * np.asarray(by_estimate.slopes)
    sets = {"sign": core.smallest_set(by_estimate), "significance": core.smallest_set(by_margin)}
    conclusions = {}
    for name, found in sets.items():
        predicted = whole - slopes[found.dropped].sum()
        now, p_now = _without(fit, np.isin(rows_of, found.dropped), position)
        changed = sign * now < 0 if name == "sign" else (p_now < alpha) != (p_value < alpha)
        conclusions[name] = _Conclusion(found, predicted, now, p_now, bool(changed and len(found.dropped)))
    dropped = {name: labels[c.found.dropped].tolist() for name, c in conclusions.items()}
    return Robustness(
        term, by, _table(conclusions, len(labels)), dropped, pd.Series(slopes, labels, name="influence")
    )


def _checked(fit: FittedModel, term: str, by: By, alpha: float) -> tuple[int, pd.Index, np.ndarray]:
    """Return the position of the coefficient, the labels of what is left out, and which each row is of."""
    names = list(fit.frame.fixed_names)
    check_choice("by", by, ("rows", "groups"))
    check_alpha(alpha)
    if term not in names:
        raise DataError(f"term is {term!r}; expected a coefficient: {', '.join(map(repr, names))}.")
    if by == "rows":
        return names.index(term), fit.frame.index, np.arange(fit.nobs)
    if isinstance(fit._all_levels.structure, core.AnyCrossed):
        raise DataError(
            "The grouping factors are crossed, so that no groups are independent of one another; use "
            "by='rows'."
        )
    terms = fit.frame.design.terms
    outermost = min(range(len(terms)), key=lambda t: terms[t].n_levels)
    group = fit.frame.groups[outermost]
    if len(group.levels) < FEWEST:
        raise DataError(f"{group.name!r} has {len(group.levels)} levels; expected at least {FEWEST}.")
    return names.index(term), pd.Index(group.levels, name=group.name), np.asarray(terms[outermost].codes)


def _influences(fit: FittedModel, by: By, position: int, sign: float, quantile: float):
    """Return influences on the estimate, its sign made positive, and on its lower confidence limit."""
    design = eqx.tree_at(lambda d: d.y, fit.frame.design, fit.y)
    influence = core.row_influence if by == "rows" else core.group_influence

    def positive(theta, stats):
        return sign * core.estimates(theta, stats, fit.reml).beta[position]

    def margin(theta, stats):
        found = core.estimates(theta, stats, fit.reml)
        return sign * found.beta[position] - quantile * found.vcov[position, position] ** 0.5

    def both(theta):
        return [influence(quantity, design, theta, fit.reml) for quantity in (positive, margin)]

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, Program(both, QUICKEST)(fit.theta))


def _without(fit: FittedModel, dropped: np.ndarray, position: int) -> tuple[float, float]:
    """Return estimate and p value when some rows are left out; NaN if the rest does not determine them."""
    kept = (~dropped).astype(fit.y.dtype)
    stats = core.row_weighted(fit._conditioned, fit.y, fit._all_levels, kept)
    if not dropped.any() or core.rank_deficient(stats.C, stats.n):
        return np.nan, np.nan
    theta = estimate(stats, fit.reml).theta
    by_satterthwaite = core.satterthwaite(theta, stats, fit.reml, curvature(theta, stats))
    test = by_satterthwaite.t_test(np.eye(stats.p)[[position]])
    return float(test.estimate[0]), float(test.p_value[0])


def _table(conclusions: dict[str, _Conclusion], size: int) -> pd.DataFrame:
    counts = [len(c.found.dropped) or None for c in conclusions.values()]
    table = {
        "n_dropped": pd.array(counts, dtype="Int64"),
        "share": [np.nan if count is None else count / size for count in counts],
    }
    for name in ("predicted", "estimate", "p_value"):
        values = [getattr(c, name) for c in conclusions.values()]
        table[name] = np.where([count is None for count in counts], np.nan, values)
    table["overturned"] = [c.overturned for c in conclusions.values()]
    return pd.DataFrame(table, index=pd.Index(conclusions, name="conclusion"))
