"""glmm (Rust): a formula and a data frame or a dictionary of columns, which is faster to hand over."""

import functools
from typing import Any

import glmm
import numpy as np
import pandas as pd

from ._base import Refitting, Testing


class Package(Refitting, Testing):
    distribution = "glmm"

    def fit_to(self, data: pd.DataFrame) -> glmm.Fit:
        # Without degrees of freedom and with lme4's standard errors: what lmer() gives.
        return glmm.fit(data, self.formula, satterthwaite=False, wald_se="rx")

    @functools.cached_property
    def columns(self) -> dict[str, np.ndarray]:
        return {name: self.data[name].to_numpy() for name in self.data}

    def refit_to(self, y: np.ndarray) -> glmm.Fit:
        return glmm.fit(self.columns | {self.response: y}, self.formula, satterthwaite=False, wald_se="rx")

    def answer(self, fit: glmm.Fit) -> dict[str, Any]:
        return {"criterion": -2 * fit.loglik, "beta": fit.beta, "se": fit.se, "names": fit.names}

    def satterthwaite(self) -> dict[str, Any]:
        """Fit and test: the degrees of freedom come with the fit and cannot be had by themselves."""
        fit = glmm.fit(self.columns, self.formula, wald_se="rx")
        return {"df": fit.coef_df, "names": fit.names}

    def estimates(self) -> tuple[np.ndarray, np.ndarray, float]:
        packed = np.asarray(self.fit.varcorr[0])
        q = 2 if len(packed) == 3 else 1
        cov = np.zeros((q, q))
        cov[np.tril_indices(q)] = packed
        cov = np.tril(cov) + np.tril(cov, -1).T
        return self.fit.beta, np.linalg.cholesky(cov), self.fit.dispersion**0.5

    def p_value(self, data: pd.DataFrame) -> float:
        return glmm.fit(data, self.formula, wald_se="rx").coef_p[1]
