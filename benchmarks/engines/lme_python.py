"""lme-python (Rust): prepares a design once and fits responses to it."""

import functools
from typing import Any

import lme_python
import numpy as np
import pandas as pd

from ._base import Refitting, Testing


class Package(Refitting, Testing):
    distribution = "lme-python"

    def fit_to(self, data: pd.DataFrame) -> Any:
        return lme_python.lmer(self.formula, data)

    @functools.cached_property
    def prepared(self) -> Any:
        return lme_python.prepare_lmer(self.formula, self.data)

    def refit_to(self, y: np.ndarray) -> Any:
        return self.prepared.fit(y.tolist())

    def answer(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": fit.reml_criterion,
            "beta": fit.coefficients,
            "se": fit.beta_se,
            "names": fit.fixed_names,
        }

    def satterthwaite(self) -> dict[str, Any]:
        self.fit.with_satterthwaite(self.data)
        return {"df": self.fit.satterthwaite_dfs, "names": self.fit.fixed_names}

    def kenward_roger(self) -> dict[str, Any]:
        self.fit.with_kenward_roger(self.data)
        return {"df": self.fit.kenward_roger_dfs, "names": self.fit.fixed_names}

    def profile(self) -> dict[str, Any]:
        """Sigma and fixed effects: the others are of theta, not of standard deviations."""
        limits = np.array(self.fit.confint(method="profile", data=self.data, which="all").as_tuples())
        limits[: len(self.fit.theta)] = np.nan
        return {"limits": limits}

    def bootstrap(self, n: int) -> dict[str, Any]:
        found = self.fit.boot(self.formula, self.data, nsim=n, seed=1)
        return {"boot_se": np.std([each.coefficients for each in found.replicates], axis=0, ddof=1)}

    def p_value(self, data: pd.DataFrame) -> float:
        fit = lme_python.lmer(self.formula, data)
        fit.with_satterthwaite(data)
        return fit.satterthwaite_p_values[1]
