"""The random part of a fitted model: variance components and the effects of single levels."""

import numpy as np
import pandas as pd

from ._explained import icc, r2
from ._fitted import FittedModel
from ._random import coefficients_frame, effects_frame, normal_quantile, varcorr_frame


class RandomPart(FittedModel):
    """The part of a result that is about theta and the random effects."""

    def varcorr(self) -> pd.DataFrame:
        """Return variances, standard deviations, correlations and shares of the total variance.

        A row with `term2` is a pair: its `variance` is the covariance, on the scale of the response.
        """
        return varcorr_frame(self.frame.groups, self._factors, self.sigma)

    def ranef(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the conditional modes of the random effects, with conditional standard errors.

        The limits are value -/+ z se. The standard errors hold beta, theta and sigma at their estimates.
        """
        return effects_frame(self.frame.groups, self._effects, normal_quantile(alpha))

    def coef(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the coefficients of every level: fixed plus random effect.

        The standard error adds the variance of the fixed effect to the conditional variance of the
        random one, as if they were independent.
        """
        quantile = normal_quantile(alpha)
        estimates = self._estimates
        fixed = self._labelled(estimates.beta, "estimate")
        se = self._labelled(np.sqrt(np.diagonal(estimates.vcov)), "std_error")
        return coefficients_frame(self.frame.groups, self._effects, fixed, se, quantile)

    def icc(self) -> pd.Series:
        """Return the intraclass correlation: the random effects' share of the variance.

        `adjusted` leaves the variance of the fixed part out of the total, `unadjusted` counts it
        (doi:10.1098/rsif.2017.0213).
        """
        return icc(self._variances)

    def r2(self) -> pd.Series:
        """Return R2 of the fixed part (`marginal`) and of fixed and random part (`conditional`).

        See Nakagawa, Johnson & Schielzeth (2017), doi:10.1098/rsif.2017.0213.
        """
        return r2(self._variances)
