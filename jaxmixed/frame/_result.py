"""The fitted model. Methods unpack, call a function, and label what comes back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxmixed import core

from ._check import check_new_response, check_residual
from ._data import ModelFrame
from ._estimate import estimate
from ._fixed_part import FixedPart
from ._random_part import RandomPart
from ._rows import Rows
from ._statistics import FitStatistics, warn_of
from ._summary import Summary, summarise


def fit_response(
    frame: ModelFrame,
    y: np.ndarray,
    conditioned: core.Conditioned,
    plan: core.Plan,
    reml: bool,
    offset: Any,
) -> "LmerResult":
    """Fit a model that has been read, conditioned and planned to one response, and warn in words."""
    stats = core.assemble(conditioned, plan, y, compress=True)
    check_residual(float(stats.scale), y, frame.response)
    result = LmerResult(frame, y, reml, offset, conditioned, plan, stats, estimate(stats, reml))
    warn_of(result)
    return result


@dataclass(frozen=True, eq=False, repr=False)
class LmerResult(FixedPart, RandomPart, Rows, FitStatistics):
    """A fitted linear mixed model. Immutable; tables are computed when first asked for."""

    def refit(self, y: Any) -> "LmerResult":
        """Fit the same model to another response for the same rows.

        Parameters
        ----------
        y
            One finite number for each fitted row, shape (nobs,), in the order of `fittedvalues`. The index
            of a Series is not looked at.
        """
        y = check_new_response(y, self.nobs, self.frame.response, self.frame.design.offset)
        return fit_response(self.frame, y, self._conditioned, self._plan, self.reml, self.offset)

    # Printing

    def summary(self) -> Summary:
        """Return the fit as text, and as HTML in a notebook."""
        return summarise(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
