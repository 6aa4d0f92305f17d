"""The data as paths: one for each level of a grouping factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..frame._check import check_count
from ._arguments import check_fit
from ._canvas import BLUE, FAINT, ORANGE, joined, legend_above, single
from ._rows import along, grouping, mean_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def trajectories(
    fit: Any, x: str | None = None, group: str | None = None, bold: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw the response of every level over a covariate: all paths faint, some bold, and the overall trend.

    Where a level has several rows at one x, its path goes through their mean.

    Parameters
    ----------
    fit
        The result of `jm.lmer`.
    x
        Name of the covariate; by default the first that varies within levels.
    group
        Name of the grouping factor; by default that with the fewest levels.
    bold
        How many paths stand out. They are spread evenly over the levels in order of their mean.
    ax
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The trend is the mean of the marginal predictions at each value of x, or in bins if there are many.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> ax = jm.plots.trajectories(fit, bold=3)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Days', 'Reaction')
    """
    check_count("bold", bold)
    fit = check_fit(fit)
    labels, codes = grouping(fit, group)
    covariate = along(fit, x, codes)
    ax = single(ax)
    means = pd.Series(fit.y).groupby([codes, covariate.values]).mean()
    paths = [np.column_stack([path.index.get_level_values(1), path]) for _, path in means.groupby(level=0)]
    by_mean = np.argsort([path[:, 1].mean() for path in paths], kind="stable")
    places = np.unique(np.linspace(0, len(paths) - 1, min(bold, len(paths)) + 2).round().astype(int)[1:-1])
    chosen = by_mean[places] if len(paths) > bold else by_mean
    ax.plot(*joined(paths).T, color=FAINT, lw=0.7, label=f"each {labels.name}")
    for i, place in enumerate(chosen):
        label = f"{len(chosen)} of {len(paths)}" if i == 0 else None
        ax.plot(*paths[place].T, color=BLUE, lw=1.3, alpha=0.8, label=label)
    trend = mean_by(covariate.values, fit.predict(re="marginal").to_numpy())
    ax.plot(trend.index, trend, color="white", lw=5.5)
    ax.plot(trend.index, trend, color=ORANGE, lw=3, ls="--", label="overall trend")
    covariate.name_axis(ax)
    ax.set_ylabel(fit.frame.response)
    legend_above(ax)
    return ax
