"""What single groups do to the estimates: the model is fitted again without each of them.

    dfbeta_j = beta - beta_(j)          dfbetas_j = (beta - beta_(j)) / se(beta_(j))
    Cook's distance_j = (beta - beta_(j))' V^-1 (beta - beta_(j)) / p,     V = Var(beta-hat)

(Demidenko & Stukel 2005, doi:10.1002/sim.1974; Nieuwenhuis, te Grotenhuis & Pelzer 2012, The R Journal 4(2).)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core._covariance import basis, n_theta, positions
from ._errors import DataError
from ._labels import variance_labels
from ._leave_out import LeftOut, leave_out

if TYPE_CHECKING:
    from ._fitted import FittedModel

FEWEST = 3  # levels: leaving out one of two leaves no variance between levels


@dataclass(frozen=True, eq=False)
class Influence:
    """Estimates without each of the levels of a grouping factor.

    Every table has one row for each level. Where the fixed effects cannot be estimated without a level,
    its rows are NaN.

    Attributes
    ----------
    group
        Name of the grouping factor.
    estimates
        Fixed effects without the level, shape (J, p).
    dfbeta, dfbetas
        Estimates of the whole fit less `estimates`; the same divided by the standard errors of the latter.
    cooks_distance
        Distance of `estimates` from those of the whole fit, in the metric of their covariance.
    varcorr
        Standard deviations, correlations and sigma without the level, in units of the response.
    status
        "converged", or how the fit without the level ended.
    """

    group: str
    estimates: pd.DataFrame
    dfbeta: pd.DataFrame = field(repr=False)
    dfbetas: pd.DataFrame = field(repr=False)
    cooks_distance: pd.Series = field(repr=False)
    varcorr: pd.DataFrame = field(repr=False)
    status: pd.Series = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each level and fixed effect.

        The columns are `group`, `term`, `estimate`, `dfbeta`, `dfbetas`, `cooks_distance` and `status`.
        """
        columns = {"estimate": self.estimates, "dfbeta": self.dfbeta, "dfbetas": self.dfbetas}
        (J, p), levels = self.estimates.shape, self.estimates.index
        table = {"group": np.repeat(levels, p), "term": np.tile(self.estimates.columns, J)}
        table |= {name: values.to_numpy().reshape(-1) for name, values in columns.items()}
        for name, values in (("cooks_distance", self.cooks_distance), ("status", self.status)):
            table[name] = np.repeat(values.to_numpy(), p)
        return pd.DataFrame(table)


def influence(fit: FittedModel, group: str | None) -> Influence:
    """Fit a model again without each level of a grouping factor."""
    factor = _factor(fit, group)
    labels, left = fit.frame.groups[factor], leave_out(fit, factor)
    levels = pd.Index(labels.levels, name=labels.name)
    full, names = fit._estimates, list(fit.frame.fixed_names)
    dfbeta = full.beta - left.beta
    scales, _ = variance_labels(fit.frame, "sdcor")
    return Influence(
        labels.name,
        pd.DataFrame(left.beta, levels, names),
        pd.DataFrame(dfbeta, levels, names),
        pd.DataFrame(dfbeta / left.se, levels, names),
        pd.Series(_distance(dfbeta, full.vcov), levels, name="cooks_distance"),
        pd.DataFrame(_deviations(left, fit.stats.blocks), levels, list(scales)),
        pd.Series(left.status, levels, name="status"),
    )


def _factor(fit: FittedModel, group: str | None) -> int:
    """Return the position of a grouping factor, by default that with the fewest levels."""
    if not fit.frame.fixed_names:
        raise DataError("The model has no fixed effects; expected one at least, whose change is measured.")
    names = [labels.name for labels in fit.frame.groups]
    if group is not None and group not in names:
        raise DataError(f"group is {group!r}; expected one of {', '.join(map(repr, names))}.")
    factor = len(names) - 1 if group is None else names.index(group)
    n_levels = fit.frame.design.terms[factor].n_levels
    if n_levels < FEWEST:
        raise DataError(
            f"The grouping factor {names[factor]!r} has {n_levels} levels; expected at least {FEWEST}, so "
            f"that two are left when one is taken out."
        )
    return factor


def _distance(dfbeta: np.ndarray, vcov: np.ndarray) -> np.ndarray:
    """Return Cook's distances, worked out in standard errors, which have no scale."""
    se = np.sqrt(np.diagonal(vcov))
    scaled = dfbeta / se
    return (np.linalg.solve(vcov / np.outer(se, se), scaled.T).T * scaled).sum(axis=1) / len(se)


def _deviations(left: LeftOut, blocks: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return standard deviations, correlations and sigma, one row a level."""
    columns, ends = [], np.cumsum([n_theta(b) for b in blocks])[:-1]
    for theta, b in zip(np.split(left.theta, ends, axis=1), blocks, strict=True):
        (row, column), L = positions(b), np.tensordot(theta, basis(b), 1)
        covariance = L @ L.swapaxes(1, 2)
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        scale = sd[:, row] * sd[:, column]
        correlation = covariance[:, row, column] / np.where(scale > 0, scale, np.nan)
        columns.append(np.where(row == column, left.sigma[:, None] * sd[:, row], correlation))
    return np.column_stack([*columns, left.sigma])
