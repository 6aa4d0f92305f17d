"""The fixed part of a fitted model: estimates, standard errors, tests and intervals of beta."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from ..core._types import identity
from ._fitted import FittedModel
from ._reduced import require_rows
from ._references import Ddf, reference
from ._robust import robust_covariance
from ._term_tests import WaldTest, anova_table, wald_test

Robust = Literal["CR0", "CR1", "CR2"]


class FixedPart(FittedModel):
    """The part of a result that is about beta."""

    @property
    def params(self) -> pd.Series:
        """Estimates of the fixed effects."""
        return self._labelled(self._estimates.beta, "estimate")

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects, at the estimated variance parameters."""
        return self._labelled(np.sqrt(self._estimates.vcov.diagonal()), "std_error")

    @property
    def tvalues(self) -> pd.Series:
        """Estimates divided by their standard errors."""
        return (self.params / self.bse).rename("statistic")

    @property
    def df(self) -> pd.Series:
        """Satterthwaite degrees of freedom of each coefficient; `tidy(ddf=...)` has other methods."""
        tests = reference(self, "satterthwaite")
        return self._labelled(tests.t_df(identity(len(tests.R))), "df")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p values of Satterthwaite's t tests that a coefficient is zero."""
        tests = reference(self, "satterthwaite")
        return self._labelled(tests.t_test(identity(len(tests.R))).p_value, "p_value")

    def cov_params(
        self, ddf: Ddf = "satterthwaite", robust: Robust | None = None, cluster: Any = None
    ) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects.

        Parameters
        ----------
        ddf
            `"kenward-roger"` adjusts it for small samples; by the other methods it is the same.
        robust
            `"CR0"`, `"CR1"` or `"CR2"`: cluster-robust, right even if the random part is wrong.
        cluster
            For `robust`: the name of a grouping factor, or one label for each fitted row; by default the
            outermost grouping factor.
        """
        if robust is None:
            vcov = reference(self, ddf).vcov
        else:
            vcov = robust_covariance(self, robust, cluster).vcov
        names = list(self.frame.fixed_names)
        return pd.DataFrame(vcov, index=names, columns=names)

    def wald_test(self, L: Any, ddf: Ddf = "satterthwaite") -> WaldTest:
        """Test linear hypotheses about the fixed effects, each by t and all jointly by F.

        Parameters
        ----------
        L
            A matrix with a column for each coefficient (or a frame whose columns name some), tested against
            zero; or text such as `"Days = 10, Intercept - 25*Days = 0"`.
        ddf
            `"satterthwaite"`, `"kenward-roger"`, `"wald"` or `"residual"`.

        Returns
        -------
        WaldTest
            `statistic`, `df_num`, `df_den`, `p_value` of the joint test; `table` of the single ones.
        """
        return wald_test(self, L, ddf)

    def anova(self, type: Literal[1, 2, 3] = 3, ddf: Ddf = "satterthwaite") -> pd.DataFrame:
        """Return F tests of the fixed-effects terms.

        Parameters
        ----------
        type
            1: each term after those before it. 2: each after all that do not contain it. 3: each after
            all others, averaged over the levels of factors.
        ddf
            `"satterthwaite"`, `"kenward-roger"`, `"wald"` or `"residual"`.

        Returns
        -------
        pandas.DataFrame
            `sum_sq`, `mean_sq`, `num_df`, `den_df`, `statistic`, `p_value` by term, as lmerTest's anova.

        References
        ----------
        Kuznetsova, Brockhoff & Christensen (2017), doi:10.18637/jss.v082.i13.
        """
        return anova_table(self, type, ddf)

    def to_marginaleffects(self, df: float = np.inf) -> Any:
        """Return the fit as a model of the package marginaleffects: marginal means, contrasts and slopes.

        Its functions, plots and `datagrid` take what is returned, and predict with random effects of zero.

        Parameters
        ----------
        df
            Degrees of freedom of every test and interval; infinite, which is normal quantiles, by default.

        Returns
        -------
        marginaleffects.classes.ModelAbstract
            With the rows fitted as its data. An offset given as numbers is the column "(offset)".

        Raises
        ------
        ImportError
            If marginaleffects is not installed: `pip install "jaxmixed[means]"`.

        Notes
        -----
        `newdata="balanced"` averages over the levels of factors alike, at the means of numbers, as R's
        emmeans does. `vcov=` takes another covariance of the fixed effects, an array or a frame such as
        `fit.cov_params("kenward-roger")`. One `df` serves all tests; for one with degrees of freedom of
        its own, of each estimate linear in beta, see `fit.wald_test(result.jacobian).table`. If columns
        are aliased, combinations of levels that never occur are predicted with coefficients of zero for
        them, where emmeans gives no estimate.

        Predictions are linear in beta, so `eps_vcov=1.0` makes standard errors exact where they come from
        differences: those of slopes, which keep three digits without it, and those with an offset. Joint F
        tests need a finite `df`. Importing marginaleffects turns on JAX's double precision for good.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("angle ~ recipe * temp + (1 | replicate)", jm.datasets.load("cake"))
        >>> model = fit.to_marginaleffects()
        >>> model.find_predictors()
        ['recipe', 'temp']

        Marginal means of the recipes, and their pairwise differences:

        >>> from marginaleffects import avg_comparisons, avg_predictions  # doctest: +SKIP
        >>> avg_predictions(model, newdata="balanced", by="recipe")  # doctest: +SKIP
        >>> avg_comparisons(model, newdata="balanced", variables={"recipe": "pairwise"})  # doctest: +SKIP
        """
        require_rows(self.frame, "to_marginaleffects")
        from ._marginaleffects import MarginalEffectsModel

        return MarginalEffectsModel(self, df)
