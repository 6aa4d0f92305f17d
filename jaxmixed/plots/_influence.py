"""What leaving out each group does to the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame._errors import DataError
from ..frame._influence import Influence
from ..frame._result import LmerResult
from ._arguments import choose
from ._canvas import BLUE, GREY, INK, MOST_LABELS, ORANGE, name_levels, panel_size, single

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COOK = "cooks_distance"


def influence(found: Any, measure: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the influence of every level of a grouping factor, in order.

    The dashed lines are customary limits for J levels, 4 / J for Cook's distance and -/+ 2 / sqrt(J) for
    dfbetas (Nieuwenhuis et al. 2012, doi:10.32614/RJ-2012-011); levels beyond them are drawn in bold.

    Parameters
    ----------
    found
        What `fit.influence()` returned, or a fit.
    measure
        `"cooks_distance"`, the default, or the name of a fixed effect, whose dfbetas are drawn: by how many
        standard errors leaving out the level moves it.
    ax
        Where to draw; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.influence(fit).get_xlabel()
    "Cook's distance"
    """
    found = found.influence() if isinstance(found, LmerResult) else found
    if not isinstance(found, Influence):
        raise DataError(
            f"found is of type {type(found).__name__}; expected what fit.influence() returns, or a fit."
        )
    measure = choose("measure", measure, (COOK, *found.dfbetas.columns))
    of_distance = measure == COOK
    values = (found.cooks_distance if of_distance else found.dfbetas[measure]).dropna().sort_values()
    J = len(values)
    limit = 4 / J if of_distance else 2 / np.sqrt(J)
    ax = single(ax, 4.6, panel_size(J))
    beyond = (values.abs() > limit).to_numpy()
    few = J <= MOST_LABELS
    for bold in (False, True):
        y, some = np.flatnonzero(beyond == bold), values[beyond == bold]
        colour, width = (BLUE, 2.2) if bold else (GREY, 0.9)
        ax.hlines(y, 0, some, color=colour, lw=width if few else width / 2)
        ax.plot(some, y, "o", color=colour, ms=(5 if bold else 3.5) if few else 2)
    for side in (limit,) if of_distance else (-limit, limit):
        ax.axvline(side, color=ORANGE, lw=1, ls="--")
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_ylim(-0.9, J - 0.1)
    ax.set_xlabel("Cook's distance" if of_distance else f"dfbetas of {measure}")
    name_levels(ax, values.index.tolist(), found.group)
    return ax
