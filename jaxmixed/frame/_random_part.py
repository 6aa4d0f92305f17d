"""The random part of a fitted model: variance components and the effects of single levels."""

from typing import Any

import numpy as np
import pandas as pd

from jaxmixed import core

from ..core._exact_rlrt import ExactRLRT
from ._explained import icc, r2
from ._fitted import FittedModel
from ._random import coefficients_frame, effects_frame, normal_quantile, varcorr_frame
from ._ranova import exact_rlrt, ranova
from ._variance_errors import variance_covariances, with_standard_errors


class RandomPart(FittedModel):
    """The part of a result that is about theta and the random effects."""

    def varcorr(self, se: bool = False) -> pd.DataFrame:
        """Return variances, standard deviations, correlations and shares of the total variance.

        A row with `term2` is a pair: its `variance` is the covariance, on the scale of the response.

        Parameters
        ----------
        se
            Whether to add Wald standard errors, `variance_se`, `sd_se` and `corr_se`, from the observed
            information; NaN on the boundary, where `note` says why.
        """
        table = varcorr_frame(self.frame.groups, self._factors, self.sigma)
        return with_standard_errors(self, table) if se else table

    def cov_varcorr(self, scale: core.Scale = "sdcor") -> pd.DataFrame:
        """Return the asymptotic covariance matrix of the variance parameters, 2 H^-1.

        H is the Hessian of the criterion in (theta, sigma), and other scales follow by the delta method;
        NaN for parameters on the boundary.

        Parameters
        ----------
        scale
            `"sdcor"` (standard deviations, correlations, sigma), `"varcov"` (variances, covariances,
            sigma^2) or `"theta"` (relative to sigma, and sigma).
        """
        return variance_covariances(self, scale)

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

    def ranova(self) -> pd.DataFrame:
        """Return likelihood ratio tests of the random terms, each reduced or removed, one at a time.

        (x | g) is compared with (1 | g), and (1 | g) with no such term, by REML or ML as the model was
        fitted. The columns are `term`, `n_parameters`, `llf`, `aic`, `statistic`, `df` and `p_value`. A
        variance of zero is at the boundary, so that p values are too large; for a single variance
        `exact_rlrt` is exact.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
        >>> fit.ranova()[["term", "llf", "statistic", "df"]].round(2)
                               term     llf  statistic   df
        0                    <none> -871.81        NaN  NaN
        1  Days in (Days | Subject) -893.23      42.84  2.0
        """
        return ranova(self)

    def exact_rlrt(self, n: int = 10_000, key: Any = 0) -> ExactRLRT:
        """Test that the variance of the only random effect is zero, by its exact null distribution.

        For a REML fit with one random term of one column. The distribution is simulated by n draws, from a
        whole number as seed or a JAX key (doi:10.1111/j.1467-9868.2004.00438.x). Returns `statistic`,
        `p_value`, its Monte Carlo standard error `mc_error`, and `n`.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("Yield ~ 1 + (1 | Batch)", jm.datasets.load("Dyestuff"))
        >>> test = fit.exact_rlrt()
        >>> round(test.statistic, 3), test.p_value < 0.01
        (6.369, True)
        """
        return exact_rlrt(self, n, key)
