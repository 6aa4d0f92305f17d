"""From no pooling to partial pooling: what the model makes of what each level says by itself.

No pooling is least squares of each level alone, on the columns of its random effects, the rest of the model
held; for a random intercept and slope of the model's only covariate it is the level's own regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..frame._errors import DataError
from ..frame._least_squares import least_squares
from ..frame._result import LmerResult
from ._arguments import check_fit, several_of
from ._canvas import BLUE, GREY, ORANGE, legend_above, single
from ._rows import grouping

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shrinkage(
    fit: Any, effects: Sequence[str] | None = None, group: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how each level's own estimates are drawn towards those of all.

    With two effects, arrows in their plane from no pooling to partial pooling, `fit.coef()`; with one, lines
    from the one to the other. Levels whose own rows do not determine their estimates have no arrow.

    Parameters
    ----------
    fit
        The result of `jm.lmer`.
    effects
        Names of one or two random effects; by default the first two, or the only one.
    group
        Name of the grouping factor; by default that with the fewest levels.
    ax
        Where to draw; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> ax = jm.plots.shrinkage(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Intercept', 'Days')
    """
    fit = check_fit(fit)
    columns = grouping(fit, group)[0].columns
    effects = several_of("effects", columns[:2] if effects is None else effects, columns)
    if len(effects) > 2:
        raise DataError(f"effects has {len(effects)} names; expected one or two, for one axis or two.")
    own, pooled = no_and_partial_pooling(fit, group)
    centre = fit.params.reindex(effects, fill_value=0.0)
    if len(effects) == 1:
        return _lines(own[effects[0]], pooled[effects[0]], float(centre.iloc[0]), single(ax, 4, 4))
    return _arrows(own[effects], pooled[effects], centre, single(ax, 5.2, 4.4))


def no_and_partial_pooling(fit: LmerResult, group: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return coefficients by level and effect: each level's own, and those of `fit.coef()`."""
    labels, codes = grouping(fit, group)
    place = [known.name for known in fit.frame.groups].index(labels.name)
    term, weights = fit.frame.design.terms[place], fit.frame.design.weights
    names = list(labels.columns)
    modes = np.asarray(fit._modes[place])
    root = np.ones(fit.nobs) if weights is None else np.sqrt(weights)
    rest = fit.resid.to_numpy() + (np.asarray(term.z) * modes[codes]).sum(axis=1)
    alone = least_squares(root[:, None] * np.asarray(term.z), root * rest, codes, term.n_levels)
    centre = fit.params.reindex(names, fill_value=0.0).to_numpy()
    levels = pd.Index(labels.levels, name=labels.name)
    beta = np.where(alone.aliased.any(axis=1, keepdims=True), np.nan, alone.beta)
    return pd.DataFrame(centre + beta, levels, names), pd.DataFrame(centre + modes, levels, names)


def _arrows(own: pd.DataFrame, pooled: pd.DataFrame, centre: pd.Series, ax: Axes) -> Axes:
    start, end = own.to_numpy(), pooled.to_numpy()
    known = np.isfinite(start).all(axis=1)
    move = end[known] - start[known]
    ax.quiver(
        *start[known].T, *move.T, angles="xy", scale_units="xy", scale=1, width=0.003, color=GREY, zorder=1
    )
    ax.plot(*start.T, "o", color=GREY, ms=4, mfc="white", label="no pooling")
    ax.plot(*end.T, "o", color=BLUE, ms=4, label="partial pooling")
    ax.plot(*centre, "X", color=ORANGE, ms=10, mec="white", label="fixed effects")
    ax.set(xlabel=centre.index[0], ylabel=centre.index[1])
    legend_above(ax)
    return ax


def _lines(own: pd.Series, pooled: pd.Series, centre: float, ax: Axes) -> Axes:
    ax.plot([0, 1], np.stack([own, pooled]), color=GREY, lw=0.8, alpha=0.6)
    ax.plot(np.zeros(len(own)), own, "o", color=GREY, ms=4, mfc="white")
    ax.plot(np.ones(len(own)), pooled, "o", color=BLUE, ms=4)
    ax.axhline(centre, color=ORANGE, lw=1.8, ls="--", label="fixed effect")
    ax.set_xticks([0, 1], ["no pooling", "partial pooling"])
    ax.set_xlim(-0.2, 1.2)
    ax.set_ylabel(f"{own.name} by {own.index.name}")
    legend_above(ax)
    return ax
