"""mixedlm (Rust): lme4's functions under lme4's names."""

import copy
from typing import Any

import mixedlm
import numpy as np
import pandas as pd

from ._base import Refitting, Testing


class Package(Refitting, Testing):
    distribution = "mixedlm"

    def fit_to(self, data: pd.DataFrame) -> Any:
        return mixedlm.lmer(self.formula, data)

    def refit_to(self, y: np.ndarray) -> Any:
        return self.fit.refit(y)

    def answer(self, fit: Any) -> dict[str, Any]:
        beta = fit.fixef()
        se = np.sqrt(np.diag(fit.vcov()))
        return {
            "criterion": mixedlm.REMLcrit(fit),
            "beta": list(beta.values()),
            "se": se,
            "names": list(beta),
        }

    @property
    def fresh(self) -> Any:
        """The same fit as another object: what is found of one is kept, and the second time is looked up."""
        return copy.copy(self.fit)

    def satterthwaite(self) -> dict[str, Any]:
        found = mixedlm.satterthwaite_df(self.fresh)
        return {"df": found.df, "names": found.param_names}

    def kenward_roger(self) -> dict[str, Any]:
        found = mixedlm.kenward_roger_df(self.fresh)
        return {"df": found.df, "names": found.param_names}

    def profile(self) -> dict[str, Any]:
        """Fixed effects: others it does not profile."""
        limits = list(self.fresh.confint(method="profile").values())
        missing = [(np.nan, np.nan)] * (len(self.fit.theta) + 1)
        return {"limits": missing + limits}

    def bootstrap(self, n: int) -> dict[str, Any]:
        found = mixedlm.bootMer(self.fresh, nsim=n, seed=1)
        return {"boot_se": np.std(found.beta_samples, axis=0, ddof=1)}

    def p_value(self, data: pd.DataFrame) -> float:
        return mixedlm.pvalues_with_ddf(mixedlm.lmer(self.formula, data))["Days"][2]
