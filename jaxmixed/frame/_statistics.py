"""What a fitted model says of itself as a whole: likelihood, sizes, convergence."""

import warnings
from functools import cached_property

import numpy as np
import pandas as pd

from jaxmixed import core

from ..core._covariance import is_diagonal
from ._errors import ConvergenceWarning, SingularFitWarning
from ._fitted import FittedModel
from ._monte_carlo import doubt, monte_carlo_table
from ._random import degenerate_terms

SINGULAR = 1e-4  # lme4's isSingular
DEGENERATE = 1e4  # random effects so many times larger than the residuals
FLAT = 1e-7  # curvature of the criterion in theta, on the deviance scale


class FitStatistics(FittedModel):
    """The part of a result that is about the fit, not about its effects or rows."""

    @property
    def criterion(self) -> float:
        """-2 log likelihood, restricted if `reml`, on the deviance scale."""
        return float(self._estimates.criterion)

    @property
    def llf(self) -> float:
        """Log likelihood, restricted if `reml`."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Number of parameters: beta, theta and sigma."""
        return len(self.frame.fixed_names) + len(self.theta) + 1

    @property
    def aic(self) -> float:
        """Akaike's information criterion, criterion + 2 n_parameters."""
        return self.criterion + 2 * self.n_parameters

    @property
    def aicc(self) -> float:
        """`aic` corrected for small samples, + 2 d (d + 1) / (nobs - d - 1) with d = n_parameters."""
        d = self.n_parameters
        return self.aic + 2 * d * (d + 1) / (self.nobs - d - 1) if self.nobs > d + 1 else np.inf

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, criterion + log(nobs) n_parameters."""
        return self.criterion + float(np.log(self.nobs)) * self.n_parameters

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of every grouping factor."""
        return {
            labels.name: term.n_levels
            for labels, term in zip(self.frame.groups, self.frame.design.terms, strict=True)
        }

    @property
    def df_resid(self) -> int:
        """Rows less parameters."""
        return self.nobs - self.n_parameters

    @property
    def scale(self) -> float:
        """Residual variance sigma^2, of a row of weight one."""
        return self.sigma**2

    @property
    def converged(self) -> bool:
        """Whether the optimiser reached a minimum."""
        return int(self.optimum.result) == 0

    @property
    def message(self) -> str:
        """How the optimiser ended."""
        return core.RESULTS[int(self.optimum.result)]

    def monte_carlo(self) -> pd.DataFrame:
        """Return the Monte Carlo error of every parameter, where crossed factors were solved for iteratively.

        The log-determinant of the random effects is then estimated from columns of random signs, the same at
        every theta, and the estimates differ a little from those that `solver="direct"` would give. Columns
        are `estimate`, `std_error`, `mc_error`, and `ratio`, of the last two; `.attrs` has the error of the
        criterion, the number of `probes`, their `seed`, and the `residual` and `steps` of the last solve.

        Raises
        ------
        DataError
            If the fit was solved directly.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> penicillin = jm.datasets.load("Penicillin")
        >>> fit = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin, solver="iterative")
        >>> bool((fit.monte_carlo()["ratio"] < 0.1).all())
        True
        """
        return monte_carlo_table(self)

    @cached_property
    def singular_terms(self) -> list[str]:
        """What lies on the boundary of the parameter space, in words; empty for a regular fit."""
        diagonal = self._found.conditioned[is_diagonal(self.stats.blocks)]
        if min(map(abs, diagonal.tolist())) >= SINGULAR:
            return []
        return degenerate_terms(self.frame.groups, self._conditioned_factors, SINGULAR)

    @property
    def doubts(self) -> str | None:
        """Why the estimates may not be those sought, in a sentence, or `None`."""
        if _largest(self._found.conditioned) > DEGENERATE:
            return (
                "The residual variance is all but zero beside that of the random effects, so that sigma and "
                "the standard errors mean nothing: the response hardly varies within their levels."
            )
        if not self.converged:
            return f"The fit did not converge: {self.message}."
        if (unsure := doubt(self)) is not None:
            return unsure
        if _largest(self.optimum.hessian) < FLAT:
            return (
                "The variances of the random effects cannot be estimated: the fixed effects already fit "
                "every level, so leave out one or the other."
            )
        return None

    @property
    def is_singular(self) -> bool:
        """Whether a variance is zero or a correlation perfect."""
        return bool(self.singular_terms)


def _largest(few: np.ndarray) -> float:
    """Return the largest size in an array of few numbers, which Python finds sooner than NumPy."""
    return max(map(abs, few.ravel().tolist()))


def warn_of(fit: FitStatistics) -> None:
    """Warn once, in words, when an answer is in doubt or on the boundary."""
    caller_of_the_fit = 4  # warn_of, fit_response, lmer or refit, their caller
    if fit.doubts is not None:
        warnings.warn(fit.doubts, ConvergenceWarning, stacklevel=caller_of_the_fit)
    elif fit.is_singular:
        message = f"Singular fit: {'; '.join(fit.singular_terms)}."
        warnings.warn(message, SingularFitWarning, stacklevel=caller_of_the_fit)
