"""The rows of a fitted model as a picture needs them: a covariate along an axis, levels, means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ..frame._check import check_choice
from ..frame._errors import DataError
from ..frame._groups import GroupLabels
from ..frame._matrices import compile_parts
from ..frame._reduced import require_rows
from ..frame._result import LmerResult
from ._arguments import choose

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_VALUES = 20  # of a covariate, each with a mean of its own
ROWS, FEWEST_BINS = 25, 5  # of a bin; bins


class Along(NamedTuple):
    """A covariate along the x axis.

    Attributes
    ----------
    name
        Its name.
    values
        Its value in each row, or the position of its level, shape (n,).
    levels
        Names of the positions of a factor, else `None`.
    """

    name: str
    values: np.ndarray
    levels: list[Any] | None

    def name_axis(self, ax: Axes) -> None:
        """Label the x axis, and its ticks if the covariate is a factor."""
        ax.set_xlabel(self.name)
        if self.levels is not None:
            ax.set_xticks(range(len(self.levels)), [str(level) for level in self.levels])


def grouping(fit: LmerResult, group: str | None) -> tuple[GroupLabels, np.ndarray]:
    """Return the labels and the codes of a grouping factor, by default that with the fewest levels."""
    names = tuple(labels.name for labels in fit.frame.groups)
    place = names.index(choose("group", group, names[::-1]))
    return fit.frame.groups[place], fit.frame.design.terms[place].codes


def along(fit: LmerResult, x: str | None, codes: np.ndarray) -> Along:
    """Return a covariate; by default the first that varies within groups, numbers before factors."""
    require_rows(fit.frame, "A picture of rows")
    covariates = fit.frame.covariates
    used = [name for name, _ in compile_parts(fit.frame.parts)[1] if name in covariates]
    within = [name for name in used if varies_within(_numbers(covariates[name])[0], codes)]
    if not used or (x is None and not within):
        raise DataError(
            "No covariate of the model varies within its groups; expected one for the x axis, so see "
            "jm.plots.caterpillar for a model without."
        )
    if x is None:
        x = next((name for name in within if _numbers(covariates[name])[1] is None), within[0])
    check_choice("x", x, tuple(used))
    return Along(x, *_numbers(covariates[x]))


def varies_within(values: np.ndarray, codes: np.ndarray) -> bool:
    """Tell whether values differ between rows of one group."""
    first = np.zeros(codes.max() + 1)
    first[codes] = values
    return bool((values != first[codes]).any())


def _numbers(column: pd.Series) -> tuple[np.ndarray, list[Any] | None]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(float), list(column.cat.categories)
    if column.dtype == bool:
        return column.to_numpy(float), [False, True]
    return column.to_numpy(float), None


def mean_by(x: np.ndarray, y: np.ndarray) -> pd.Series:
    """Return the mean of y at each distinct x, or in 5 to 20 bins of as many rows if x has more values."""
    if len(np.unique(x)) > MOST_VALUES:
        bins = int(np.clip(len(x) // ROWS, FEWEST_BINS, MOST_VALUES))
        edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
        place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
        x = pd.Series(x).groupby(place).transform("mean").to_numpy()
    return pd.Series(y).groupby(x).mean()
