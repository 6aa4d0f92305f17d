"""Power along one quantity of a design, with its Monte Carlo error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame._errors import DataError
from ._arguments import choose, labelled_frame
from ._canvas import COLOURS, DASHES, GREY, MARKERS, legend_above, single

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("test", "power", "conf_low", "conf_high")
MOST_TICKS = 8


def power_curve(curve: Any, x: str | None = None, target: float = 0.8, ax: Axes | None = None) -> Axes:
    """Draw power over one quantity of a design, a line for each test, and its confidence limits as a band.

    Parameters
    ----------
    curve
        A frame with a column for that quantity and the columns `test`, `power`, `conf_low` and
        `conf_high`, or anything whose `to_frame()` gives one.
    x
        Name of the column along the x axis; by default the first that is none of these.
    target
        The power aimed at, where a thin line is drawn.
    ax
        Where to draw; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm, pandas as pd
    >>> curve = pd.DataFrame({"groups": [10, 20], "test": "treatment", "power": [0.55, 0.84]})
    >>> curve = curve.assign(conf_low=[0.52, 0.81], conf_high=[0.58, 0.86])
    >>> jm.plots.power_curve(curve).get_xlabel()
    'groups'
    """
    table = labelled_frame(curve, "curve", COLUMNS)
    free = [name for name in table.columns if name not in COLUMNS]
    if not free:
        found = ", ".join(map(str, table.columns))
        raise DataError(f"curve has the columns {found}; expected a further one, along which power is drawn.")
    x = choose("x", x, tuple(free))
    ax = single(ax, 5, 3.6)
    ax.axhline(target, color=GREY, lw=0.8, ls=":")
    tests = list(table.groupby("test", sort=False))
    for i, (test, rows) in enumerate(tests):
        rows, k = rows.sort_values(x), i % len(COLOURS)
        ax.fill_between(rows[x], rows["conf_low"], rows["conf_high"], color=COLOURS[k], alpha=0.2, lw=0)
        line = ax.plot(rows[x], rows["power"], color=COLOURS[k], ls=DASHES[k], lw=1.6, label=str(test))[0]
        line.set(marker=MARKERS[k], markersize=4.5)
    at = np.unique(table[x])
    if len(at) <= MOST_TICKS:
        ax.set_xticks(at)
    ax.set(xlabel=x, ylabel="Power", ylim=(-0.02, 1.02))
    if len(tests) > 1:
        legend_above(ax)
    return ax
