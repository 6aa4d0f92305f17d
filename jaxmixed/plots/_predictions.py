"""What the model predicts for single levels, beside what it predicts for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..frame._groups import GroupLabels
from ._arguments import check_fit, several_of
from ._canvas import BLUE, GREY, ORANGE, several
from ._rows import along, grouping, mean_by

MOST = 12  # panels, if levels are not named
COLUMNS = 6


def predictions(
    fit: Any,
    x: str | None = None,
    group: str | None = None,
    levels: Sequence[Any] | None = None,
    axes: Any = None,
) -> np.ndarray:
    """Draw conditional and marginal predictions of single levels over a covariate, with the data.

    The line of `fit.predict(re="conditional")` is solid, that of `fit.predict(re="marginal")` dashed; where
    a level has several rows at one x, their mean.

    Parameters
    ----------
    fit
        The result of `jm.lmer`.
    x
        Name of the covariate; by default the first that varies within levels.
    group
        Name of the grouping factor; by default that with the fewest levels.
    levels
        Which levels; by default all, or 12 spread over them.
    axes
        One axes for each level; by default a new figure.

    Returns
    -------
    numpy.ndarray
        The axes, shape (number of levels,).

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> [ax.get_title() for ax in jm.plots.predictions(fit, levels=["309", "335"])]
    ['Subject 309', 'Subject 335']
    """
    fit = check_fit(fit)
    labels, codes = grouping(fit, group)
    covariate = along(fit, x, codes)
    places = _places(labels, levels)
    n = len(places)
    made = axes is None
    axes = several(axes, n, COLUMNS if n > 8 else min(n, 4), 1.6, 1.75, sharex=True, sharey=True)
    lines = [("marginal", ORANGE, "--"), ("conditional", BLUE, "-")]
    predicted = {re: fit.predict(re=re).to_numpy() for re, *_ in lines}
    for ax, place in zip(axes, places, strict=True):
        rows = codes == place
        at = covariate.values[rows]
        ax.plot(at, fit.y[rows], "o", color=GREY, ms=2.5, label="observed")
        for re, colour, dash in lines:
            mean = mean_by(at, predicted[re][rows])
            ax.plot(mean.index, mean, color=colour, ls=dash, lw=1.6, label=re)
        ax.set_title(f"{labels.name} {labels.levels[place]}", fontsize="small")
        covariate.name_axis(ax)
        ax.set_ylabel(fit.frame.response)
        if made:
            ax.label_outer()
    handles, names = axes[0].get_legend_handles_labels()
    if made:
        axes[0].figure.legend(
            handles, names, loc="outside upper left", ncols=3, frameon=False, fontsize="small"
        )
    else:
        axes[0].legend(handles, names, frameon=False, fontsize="small")
    return axes


def _places(labels: GroupLabels, levels: Sequence[Any] | None) -> list[int]:
    known = labels.levels.tolist()
    if levels is None:
        spread = np.linspace(0, len(known) - 1, MOST).round().astype(int)
        return spread.tolist() if len(known) > 3 * COLUMNS else list(range(len(known)))
    return [known.index(level) for level in several_of("levels", levels, known)]
