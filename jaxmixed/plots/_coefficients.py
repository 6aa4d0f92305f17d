"""Fixed effects of several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..frame._check import check_alpha
from ..frame._errors import DataError
from ..frame._lm import LmResult
from ..frame._result import LmerResult
from ._arguments import several_of
from ._canvas import COLOURS, INK, MARKERS, legend_above, single

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPREAD = 0.6  # of the room between two terms, taken by the models


def coefficients(
    fits: Any, terms: Sequence[str] | None = None, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw the fixed effects of one model or several with their confidence intervals.

    The numbers are those of `fit.tidy(alpha=alpha)`.

    Parameters
    ----------
    fits
        A dictionary of results of `jm.lmer` or `jm.lm` by name, or one result.
    terms
        Which terms, from the top; by default all but the intercept, or that if it is alone.
    alpha
        One less the coverage of the intervals.
    ax
        Where to draw; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> sleepstudy = jm.datasets.load("sleepstudy")
    >>> mixed = jm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> ax = jm.plots.coefficients({"mixed": mixed, "regression": jm.lm("Reaction ~ Days", sleepstudy)})
    >>> ax.get_xlabel()
    'Estimate, 95% interval'
    """
    check_alpha(alpha)
    tables = {name: _table(name, fit, alpha) for name, fit in _named(fits).items()}
    known = list(dict.fromkeys(term for table in tables.values() for term in table.index))
    if terms is None:
        terms = [term for term in known if term != "Intercept"] or known
    terms = several_of("terms", terms, known)
    ax = single(ax, 5, 1.2 + 0.19 * len(terms) * max(len(tables), 1.6))
    ax.axvline(0, color=INK, lw=0.8)
    shifts = np.linspace(-SPREAD / 2, SPREAD / 2, len(tables)) if len(tables) > 1 else [0.0]
    for i, (shift, (name, table)) in enumerate(zip(shifts, tables.items(), strict=True)):
        table = table.reindex(terms).dropna(subset="estimate")
        y = np.array([terms.index(term) for term in table.index]) + shift
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ax.hlines(y, table["conf_low"], table["conf_high"], color=colour, lw=1.6)
        ax.plot(table["estimate"], y, marker, color=colour, ms=5.5, label=name)
    ax.set_yticks(range(len(terms)), terms)
    ax.set_ylim(len(terms) - 0.4, -0.6)
    ax.set_xlabel(f"Estimate, {100 * (1 - alpha):g}% interval")
    if len(tables) > 1:
        legend_above(ax)
    return ax


def _named(fits: Any) -> dict[str, Any]:
    if isinstance(fits, Mapping) and fits:
        return {str(name): fit for name, fit in fits.items()}
    return {"": fits}


def _table(name: str, fit: Any, alpha: float) -> pd.DataFrame:
    if isinstance(fit, LmerResult):
        return fit.tidy("fixed", alpha=alpha).set_index("term")
    if isinstance(fit, LmResult):
        return fit.tidy(alpha).set_index("term")
    where = f"fits[{name!r}]" if name else "fits"
    raise DataError(
        f"{where} is of type {type(fit).__name__}; expected a result of jm.lmer or jm.lm, or several in a "
        f"dictionary by name."
    )
