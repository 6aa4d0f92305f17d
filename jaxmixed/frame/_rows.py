"""The rows of a fitted model: what each of them, or a group of them, does to the fit."""

from functools import cached_property

import numpy as np
import pandas as pd

from jaxmixed import core

from ._augment import augment_frame, leverages
from ._conditional_aic import conditional_aic, conditional_llf
from ._influence import Influence, influence
from ._predictions import Predictions
from ._reduced import require_rows
from ._robustness import By, Robustness, robustness


class Rows(Predictions):
    """The part of a result that is about observed and new rows."""

    def augment(self) -> pd.DataFrame:
        """Return the fitted rows with fitted values, residuals, leverages and Cook's distances.

        Theta counts as known. With r_i = sqrt(w_i) (y_i - fitted_i) / sigma,

            hat_i = w_i Var(x'beta-hat + z'b-hat - x'beta - z'b) / sigma^2 = d fitted_i / d y_i
            cooksd_i = (r_i / (1 - hat_i))^2 hat_i / p
            std_resid_i = r_i / sqrt(1 - hat_i)

        `hat` and `cooksd` are lme4's `hatvalues` and `cooks.distance`; `hat` adds up to the number of
        parameters that the fitted values use, theta being known.

        Returns
        -------
        pandas.DataFrame
            `fitted, resid, hat, cooksd, fixed, std_resid, weights`, with the index of the data; `fixed` is
            X beta + offset.

        References
        ----------
        Demidenko & Stukel (2005), Influence analysis for linear mixed-effects models, doi:10.1002/sim.1974.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
        >>> fit.augment()[["fitted", "hat"]].round(3).head(2)
            fitted    hat
        0  253.664  0.229
        1  273.330  0.170
        """
        fitted, fixed = (self.predict(re=re).to_numpy() for re in ("conditional", "marginal"))
        weights, p = self.frame.design.weights, len(self.frame.fixed_names)
        resid = self.y - fitted
        return augment_frame(self.frame.index, resid, fixed, fitted, self._leverages, weights, self.sigma, p)

    @property
    def caic(self) -> float:
        """Conditional AIC, which judges predictions of the groups that were fitted.

            cAIC = -2 log f(y | beta-hat, b-hat, sigma-hat) + 2 (rho + 1)

        rho is the sum of d fitted_i / d y_i, theta being estimated anew for every y. Variances of zero count
        as known. R's cAIC4 (1.0) halves a term of d theta / dy and differs by a tenth in the example below.

        References
        ----------
        Greven & Kneib (2010), On the behaviour of marginal and conditional AIC in linear mixed models,
        doi:10.1093/biomet/asq042.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> sleepstudy = jm.datasets.load("sleepstudy")
        >>> formulas = "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"
        >>> [round(jm.lmer(formula, sleepstudy).caic, 2) for formula in formulas]
        [1767.1, 1711.52]
        """
        llf = conditional_llf(self.resid.to_numpy(), self.frame.design.weights, self.sigma)
        return conditional_aic(llf, self._effective_df)

    def influence(self, group: str | None = None) -> Influence:
        """Fit the model again without each level of a grouping factor.

        All the fits run side by side in one compiled program, each from the optimum of the whole; with
        crossed factors they run one after the other.

        Parameters
        ----------
        group
            Name of the grouping factor; by default that with the fewest levels, the outermost.

        Returns
        -------
        Influence
            Estimates, their changes, Cook's distances and variance components without each level, and how
            each fit ended: a level without which the fixed effects cannot be estimated is listed, as NaN.

        Raises
        ------
        DataError
            If there is no such factor, it has fewer than three levels, or the model has no fixed effects.

        References
        ----------
        Demidenko & Stukel (2005), Influence analysis for linear mixed-effects models, doi:10.1002/sim.1974.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
        >>> fit.influence().cooks_distance.nlargest(2).round(3)
        Subject
        309    0.149
        335    0.129
        Name: cooks_distance, dtype: float64
        """
        require_rows(self.frame, "influence")
        return influence(self, group)

    def robustness(self, term: str, by: By = "rows", alpha: float = 0.05) -> Robustness:
        """Find the fewest rows or groups whose removal changes what is concluded about a coefficient.

        Two conclusions: its sign, and whether it differs from zero at level alpha (Satterthwaite's test). The
        derivatives of the whole fit in the weight of every row tell, to first order, which rows to leave
        out; the model is then fitted again without them, to see whether the conclusion is overturned.

        Parameters
        ----------
        term
            A coefficient, by its name in `params`.
        by
            What to leave out: single `"rows"`, or whole `"groups"`, the levels of the outermost factor.
        alpha
            Level of the test.

        Returns
        -------
        Robustness
            `table`, `dropped` and `influence`.

        Raises
        ------
        DataError
            If there is no such coefficient; for groups, if factors are crossed or there are fewer than three.

        References
        ----------
        Broderick, Giordano & Meager (2020), An automatic finite-sample robustness metric, arXiv:2011.14999.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("angle ~ recipe + temp + (1 | replicate)", jm.datasets.load("cake"))
        >>> found = fit.robustness("recipe[T.C]")
        >>> found.table[["n_dropped", "predicted", "estimate", "overturned"]].round(2)
                      n_dropped  predicted  estimate  overturned
        conclusion
        sign                 16       0.02      0.31        True
        significance          1      -1.37     -1.36        True
        """
        require_rows(self.frame, "robustness")
        return robustness(self, term, by, alpha)

    @cached_property
    def _effective_df(self) -> core.EffectiveDf:
        arranged = self._conditioned, self._plan
        return core.effective_df(self.theta, *arranged, self.y, self.reml, self._curvature)

    @cached_property
    def _leverages(self) -> np.ndarray:
        return leverages(self.frame.design, self.theta, self._all_levels)
