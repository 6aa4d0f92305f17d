"""gpboost: random intercepts, nested or crossed, by maximum likelihood; slopes only without correlation."""

from typing import Any

import formulaic
import gpboost
import numpy as np
import pandas as pd

from ._base import Refitting


class Package(Refitting):
    distribution = "gpboost"

    def load(self, path: str, data: pd.DataFrame, formula: str) -> None:
        super().load(path, data, formula)
        if any(random != "1" for random, _ in self.terms):
            raise NotImplementedError("no correlated random slopes")
        self.data = self.with_groups(data)

    def fitted(self, data: pd.DataFrame, y: np.ndarray) -> Any:
        X = formulaic.model_matrix(self.fixed.split("~")[1].strip(), data)
        self.names = list(X.columns)
        groups = data[[group.replace(":", "_") for _, group in self.terms]].astype(str)
        model = gpboost.GPModel(group_data=groups, likelihood="gaussian")
        return model.fit(y=y, X=X.to_numpy(float))

    def fit_to(self, data: pd.DataFrame) -> Any:
        return self.fitted(data, data[self.response].to_numpy(float))

    def refit_to(self, y: np.ndarray) -> Any:
        return self.fitted(self.data, y)

    def answer(self, fit: Any) -> dict[str, Any]:
        beta = np.asarray(fit.get_coef()).ravel()[: len(self.names)]
        criterion = 2 * fit.get_current_neg_log_likelihood()
        return {"method": "ML", "criterion": criterion, "beta": beta, "names": self.names}
