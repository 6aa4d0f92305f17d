"""Random effects: of every level with its interval, and as a distribution beside the estimated normal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..frame._result import LmerResult
from ._arguments import check_fit, choose
from ._canvas import BLUE, GREY, INK, MOST_LABELS, ORANGE, legend_above, name_levels, panel_size, single
from ._distribution import density, qq
from ._rows import grouping

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def caterpillar(
    fit: Any,
    group: str | None = None,
    effect: str | None = None,
    alpha: float = 0.05,
    ax: Axes | None = None,
) -> Axes:
    """Draw the random effect of every level with its interval, in order; those that exclude zero in bold.

    The numbers are those of `fit.ranef(alpha)`.

    Parameters
    ----------
    fit
        The result of `jm.lmer`.
    group
        Name of the grouping factor; by default that with the fewest levels.
    effect
        Name of the effect, such as "Days"; by default the first, mostly "Intercept".
    alpha
        One less the coverage of the intervals.
    ax
        Where to draw; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.caterpillar(fit, effect="Days").get_xlabel()
    'Days by Subject: random effect, 95% interval'
    """
    name, which, table = _effects(check_fit(fit), group, effect, alpha)
    table = table.sort_values("value", ignore_index=True)
    ax = single(ax, 4.6, panel_size(len(table)))
    few = len(table) <= MOST_LABELS
    clear = ((table["lower"] > 0) | (table["upper"] < 0)).to_numpy()
    ax.axvline(0, color=INK, lw=0.8)
    for bold in (False, True):
        some = table[clear == bold]
        colour, width, size = (BLUE, 2.0, 4.5) if bold else (GREY, 0.9, 3.5)
        ax.hlines(some.index, some["lower"], some["upper"], color=colour, lw=width if few else width / 2)
        dots = ax.plot(some["value"], some.index, "o", color=colour if few else INK, ms=size if few else 1)[0]
        if few and not bold:
            dots.set_markerfacecolor("white")
    ax.set_ylim(-0.9, len(table) - 0.1)
    ax.set_xlabel(f"{which} by {name}: random effect, {100 * (1 - alpha):g}% interval")
    name_levels(ax, table["group"].tolist(), name)
    return ax


def ranef_density(
    fit: Any, group: str | None = None, effect: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the density of the random effects of all levels, beside the normal that was estimated.

    The effects of `fit.ranef()` are drawn towards zero, so that they spread less than the normal
    distribution with the standard deviation of `fit.varcorr()`.

    Parameters
    ----------
    fit, group, effect, ax
        As for `caterpillar`.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.ranef_density(fit, effect="Days").get_xlabel()
    'Days by Subject: random effect'
    """
    fit = check_fit(fit)
    name, which, table = _effects(fit, group, effect, 0.05)
    values, sd = table["value"].to_numpy(), _deviation(fit, name, which)
    ax = single(ax, 5, 3.2)
    reach = 1.15 * max(3 * sd, np.abs(values).max())
    if np.ptp(values) > 0:
        ax.plot(*density(values, -reach, reach), color=BLUE, lw=1.8, label="predicted effects")
    if sd > 0:
        x = np.linspace(-reach, reach, 201)
        normal = np.exp(-((x / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
        ax.plot(x, normal, color=ORANGE, lw=1.5, ls="--", label=f"normal, sd {sd:.3g}")
    else:
        ax.text(0.5, 0.5, "variance zero", transform=ax.transAxes, ha="center")
    ax.plot(values, np.zeros(len(values)), "|", color=BLUE, ms=8, mew=0.7)
    ax.set(xlabel=f"{which} by {name}: random effect", ylabel="Density")
    ax.set_ylim(bottom=0)
    legend_above(ax)
    return ax


def ranef_qq(fit: Any, group: str | None = None, effect: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the random effects in order over normal quantiles; the line goes through their quartiles.

    Parameters
    ----------
    fit, group, effect, ax
        As for `caterpillar`.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.ranef_qq(fit).get_ylabel()
    'Intercept by Subject'
    """
    name, which, table = _effects(check_fit(fit), group, effect, 0.05)
    ax = single(ax, 3.8, 3.4)
    qq(ax, table["value"].to_numpy(), f"{which} by {name}")
    return ax


def _effects(
    fit: LmerResult, group: str | None, effect: str | None, alpha: float
) -> tuple[str, str, pd.DataFrame]:
    """Return the names of a group and an effect, and their rows of `ranef`."""
    labels, _ = grouping(fit, group)
    name: str = choose("effect", effect, labels.columns)
    table = fit.ranef(alpha)
    return labels.name, name, table[(table["group_var"] == labels.name) & (table["effect"] == name)]


def _deviation(fit: LmerResult, group: str, effect: str) -> float:
    table = fit.varcorr()
    row = (table["group"] == group) & (table["term"] == effect) & table["term2"].isna()
    return float(table.loc[row, "sd"].iloc[0])
