"""The fixed part of a fitted model: estimates, standard errors, tests and intervals of beta."""

from math import erfc, sqrt

import numpy as np
import pandas as pd

from ._fitted import FittedModel
from ._random import normal_quantile


class FixedPart(FittedModel):
    """The part of a result that is about beta."""

    @property
    def params(self) -> pd.Series:
        """Estimates of the fixed effects."""
        return self._labelled(self._estimates.beta, "estimate")

    @property
    def bse(self) -> pd.Series:
        """Wald standard errors of the fixed effects, at the estimated variance parameters."""
        return self._labelled(np.sqrt(np.diagonal(self._estimates.vcov)), "std_error")

    @property
    def tvalues(self) -> pd.Series:
        """Estimates divided by their standard errors."""
        return (self.params / self.bse).rename("statistic")

    @property
    def df(self) -> pd.Series:
        """Degrees of freedom that `pvalues` and `conf_int` refer to: infinite, the normal distribution."""
        return self._labelled(np.full(len(self.params), np.inf), "df")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p values of the Wald z tests."""
        return self._labelled(np.array([erfc(abs(z) / sqrt(2)) for z in self.tvalues]), "p_value")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return Wald confidence intervals of the fixed effects with coverage 1 - alpha."""
        margin = normal_quantile(alpha) * self.bse
        return pd.DataFrame({"conf_low": self.params - margin, "conf_high": self.params + margin})

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects."""
        names = list(self.frame.fixed_names)
        return pd.DataFrame(self._estimates.vcov, index=names, columns=names)
