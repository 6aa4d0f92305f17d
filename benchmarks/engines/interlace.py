"""interlace-lme: fixed effects by formula, random ones by a list of bars."""

from typing import Any

import interlace
import numpy as np
import pandas as pd
from interlace.kenward_roger import kenward_roger

from ._base import Refitting, Testing


class Package(Refitting, Testing):
    distribution = "interlace-lme"

    def load(self, path: str, data: pd.DataFrame, formula: str) -> None:
        super().load(path, data, formula)
        self.data = self.with_groups(data)
        columns = [f"({random} | {group.replace(':', '_')})" for random, group in self.terms]
        self.random = [bar if bar.startswith("(1") else bar.replace("(", "(1 + ") for bar in columns]

    def fit_to(self, data: pd.DataFrame) -> Any:
        return interlace.fit(self.fixed, data, random=self.random)

    def answer(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": -2 * fit.llf_restricted,
            "beta": fit.fe_params.to_numpy(),
            "se": fit.fe_bse.to_numpy(),
            "names": list(fit.fe_params.index),
        }

    def satterthwaite(self) -> dict[str, Any]:
        return {"df": interlace.satterthwaite_dfs(self.fit), "names": list(self.fit.fe_params.index)}

    def kenward_roger(self) -> dict[str, Any]:
        covariance, df = kenward_roger(self.fit)
        names = list(self.fit.fe_params.index)
        return {"df": df, "se": np.sqrt(np.diag(covariance)), "names": names}

    def profile(self) -> dict[str, Any]:
        """Profile the random part: the rest has Wald intervals only."""
        limits = interlace.profile_confint(self.fit).to_numpy()[:, 1:]
        return {"limits": np.vstack([limits, np.full((1 + len(self.fit.fe_params), 2), np.nan)])}

    def bootstrap(self, n: int) -> dict[str, Any]:
        found = interlace.bootMer(self.fit, B=n, seed=1).estimates
        return {"boot_se": np.std(found[:, : len(self.fit.fe_params)], axis=0, ddof=1)}

    def p_value(self, data: pd.DataFrame) -> float:
        return self.fit_to(data).fe_pvalues["Days"]
