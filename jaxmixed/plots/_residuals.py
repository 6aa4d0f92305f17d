"""Residuals: against fitted values, their size, their distribution, and by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._arguments import check_fit
from ._canvas import BLUE, GREY, INK, MOST_LABELS, ORANGE, name_levels, panel_size, several, single
from ._distribution import qq
from ._rows import grouping, mean_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS: dict[str, Any] = dict(color=BLUE, ms=3, mfc="none", mew=0.7)


def resid_fitted(fit: Any, ax: Axes | None = None) -> Axes:
    """Draw residuals over fitted values; the dashed line is their running mean, which should stay near zero.

    Both are columns of `fit.augment()`. The running mean is taken in 5 to 20 bins of as many rows.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.resid_fitted(fit).get_xlabel()
    'Fitted Reaction'
    """
    fit = check_fit(fit)
    ax = single(ax, 4, 3.2)
    _over_fitted(ax, fit, fit.resid.to_numpy(), "Residual")
    ax.axhline(0, color=INK, lw=0.8)
    return ax


def scale_location(fit: Any, ax: Axes | None = None) -> Axes:
    """Draw the root of absolute standardised residuals over fitted values; a level line is even variance.

    Standardised residuals are `fit.augment()["std_resid"]`. The dashed line is their
    running mean, as in `resid_fitted`.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.scale_location(fit).get_xlabel()
    'Fitted Reaction'
    """
    fit = check_fit(fit)
    ax = single(ax, 4, 3.2)
    size = np.sqrt(np.abs(fit.augment()["std_resid"].to_numpy()))
    _over_fitted(ax, fit, size, r"$\sqrt{|\mathrm{standardised\ residual}|}$")
    ax.set_ylim(bottom=0)
    return ax


def resid_qq(fit: Any, ax: Axes | None = None) -> Axes:
    """Draw standardised residuals in order over normal quantiles; the line goes through their quartiles.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.resid_qq(fit).get_ylabel()
    'Standardised residual'
    """
    values = check_fit(fit).augment()["std_resid"].to_numpy()
    ax = single(ax, 4, 3.2)
    qq(ax, values[np.isfinite(values)], "Standardised residual")
    return ax


def resid_by_group(fit: Any, group: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the residuals of every level, levels in order of their spread; the bars are their quartiles.

    Parameters
    ----------
    fit
        The result of `jm.lmer`.
    group
        Name of the grouping factor; by default that with the fewest levels.
    ax
        Where to draw; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.resid_by_group(fit).get_ylabel()
    'Subject'
    """
    fit = check_fit(fit)
    labels, codes = grouping(fit, group)
    by_level = fit.resid.groupby(codes)
    low, middle, high = (by_level.quantile(level).to_numpy() for level in (0.25, 0.5, 0.75))
    order = np.argsort(high - low, kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    few = len(order) <= MOST_LABELS
    ax = single(ax, 4.6, panel_size(len(order)))
    ax.axvline(0, color=INK, lw=0.8)
    ax.plot(fit.resid, place[codes], "o", color=GREY, ms=2, alpha=0.6, zorder=1)
    ax.hlines(place, low, high, color=BLUE, lw=3 if few else 0.8, zorder=2)
    ax.plot(middle, place, "o", color="white" if few else ORANGE, mec=BLUE, ms=4 if few else 1.2, mew=few)
    ax.set_ylim(-0.9, len(order) - 0.1)
    ax.set_xlabel(f"Residual of {fit.frame.response}")
    name_levels(ax, labels.levels[order].tolist(), labels.name)
    return ax


def diagnostics(fit: Any, group: str | None = None, axes: Any = None) -> np.ndarray:
    """Draw the four pictures of residuals: over fitted values, their size, their quantiles, by group.

    Parameters
    ----------
    fit
        The result of `jm.lmer`.
    group
        As for `resid_by_group`.
    axes
        Four axes; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.diagnostics(fit).shape
    (4,)
    """
    axes = several(axes, 4, 2, 3.9, 3.1)
    for draw, ax in zip((resid_fitted, scale_location, resid_qq), axes, strict=False):
        draw(fit, ax=ax)
    resid_by_group(fit, group, axes[3])
    return axes


def _over_fitted(ax: Axes, fit: Any, values: np.ndarray, label: str) -> None:
    fitted, known = fit.fittedvalues.to_numpy(), np.isfinite(values)
    ax.plot(fitted, values, "o", **DOTS)
    running = mean_by(fitted[known], values[known])
    ax.plot(running.index, running, color=ORANGE, lw=1.8, ls="--")
    ax.set(xlabel=f"Fitted {fit.frame.response}", ylabel=label)
