"""statsmodels' MixedLM: one grouping factor; crossed ones would need a dense matrix of rows by levels."""

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

from ._base import Refitting


class Package(Refitting):
    distribution = "statsmodels"

    def load(self, path: str, data: pd.DataFrame, formula: str) -> None:
        super().load(path, data, formula)
        if len(self.terms) > 1:
            raise NotImplementedError("more than one grouping factor")

    def model(self, data: pd.DataFrame) -> Any:
        random, group = self.terms[0]
        return smf.mixedlm(self.fixed, data, groups=group, re_formula=f"~{random}")

    def fit_to(self, data: pd.DataFrame) -> Any:
        return self.model(data).fit(reml=True)

    def refit_to(self, y: np.ndarray) -> Any:
        model = self.fit.model
        return type(model)(y, model.exog, model.groups, model.exog_re).fit(reml=True)

    def answer(self, fit: Any) -> dict[str, Any]:
        names = self.fit.model.exog_names if "fit" in self.__dict__ else fit.model.exog_names
        return {"criterion": -2 * fit.llf, "beta": fit.fe_params, "se": fit.bse_fe, "names": names}

    def gradient(self) -> dict[str, Any]:
        """Differentiate at the theta of `_truth`: the factor of the relative covariance, by rows."""
        model = self.fit.model
        point = type(self.fit.params_object).from_components(
            fe_params=self.fit.fe_params, cov_re=np.eye(model.k_re), vcomp=np.zeros(0)
        )
        return {"gradient": -2 * model.score(point)}

    def estimates(self) -> tuple[np.ndarray, np.ndarray, float]:
        root = np.linalg.cholesky(np.asarray(self.fit.cov_re))
        return np.asarray(self.fit.fe_params), root, self.fit.scale**0.5
