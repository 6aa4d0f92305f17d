"""What a fitted model holds, and the pieces of arithmetic that its tables share.

`LmerResult` is put together from four views of a `FittedModel`, each a module: its fixed part, its
random part, its rows, and the fit as a whole.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from jaxmixed import core

from ..core._criterion import estimates_of, reduce
from ..core._ranef import effects_of, modes_of, posterior
from ..core._structure import Posterior
from ._data import ModelFrame
from ._estimate import Found, curvature
from ._explained import Variances
from ._reduced import variances_of


@dataclass(frozen=True, eq=False, repr=False)
class FittedModel:
    """A model, its data and its optimum; everything else is computed when first asked for."""

    frame: ModelFrame
    y: np.ndarray
    reml: bool
    offset: Any = field(repr=False)
    _conditioned: core.Conditioned = field(repr=False)
    _plan: core.Plan = field(repr=False)
    stats: core.SuffStats = field(repr=False)
    _found: Found = field(repr=False)

    @property
    def optimum(self) -> core.Fit:
        """The minimum of the criterion, and how it was reached."""
        return self._found.optimum

    @property
    def theta(self) -> np.ndarray:
        """Elements of the relative covariance factors, in lme4's order."""
        return self.optimum.theta

    @property
    def sigma(self) -> float:
        """Residual standard deviation, of a row of weight one."""
        return float(self._estimates.sigma)

    @property
    def nobs(self) -> int:
        """Number of rows fitted."""
        return int(self.stats.n)

    @cached_property
    def _estimates(self) -> core.Estimates:
        if self._found.estimates is not None:
            return self._found.estimates
        # Crossed factors are solved for once, for these and for the random effects.
        crossed = isinstance(self.stats.structure, core.AnyCrossed)
        reduced = self._posterior.reduced if crossed else reduce(self.theta, self.stats)
        return estimates_of(reduced, self.stats, self.reml)

    @cached_property
    def _curvature(self) -> core.Curvature:
        return curvature(self.theta, self.stats)

    @cached_property
    def _variance_parameters(self) -> core.VarianceParameters:
        return core.variance_parameters(self.theta, self.stats, self.reml, self._curvature)

    @cached_property
    def _monte_carlo(self) -> core.MonteCarlo:
        return core.monte_carlo(self.optimum, self.stats, self.reml)

    @cached_property
    def _references(self) -> dict[str, core.Reference]:
        return {}

    @cached_property
    def _recipes(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _variances(self) -> Variances:
        return variances_of(self.frame, self._estimates.beta, self._factors, self.sigma)

    @cached_property
    def _factors(self) -> list[np.ndarray]:
        return core.relative_factors(self.theta, self.stats.blocks)

    @cached_property
    def _conditioned_factors(self) -> list[np.ndarray]:
        return core.conditioned_factors(self.theta, self.stats)

    @cached_property
    def _all_levels(self) -> core.SuffStats:
        if isinstance(self.stats.structure, core.AnyCrossed):
            return self.stats  # nothing was merged
        return core.assemble(self._conditioned, self._plan, self.y, compress=False)

    @cached_property
    def _posterior(self) -> Posterior:
        return posterior(self.theta, self._all_levels)

    @cached_property
    def _modes(self) -> tuple[np.ndarray, ...]:
        return modes_of(self._posterior, self._all_levels)

    @cached_property
    def _effects(self) -> tuple[core.RandomEffects, ...]:
        return effects_of(self._posterior, self._estimates.sigma, self._all_levels)

    def _labelled(self, values: np.ndarray, name: str) -> pd.Series:
        return pd.Series(values, index=self.frame.fixed_index, name=name)
