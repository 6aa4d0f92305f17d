"""pystatistics: arrays, not formulas; one column for each grouping factor, nested ones made before."""

from typing import Any

import formulaic
import numpy as np
import pandas as pd
from pystatistics.mixed import lmm

from ._base import Refitting, Testing


class Package(Refitting, Testing):
    distribution = "pystatistics"

    def load(self, path: str, data: pd.DataFrame, formula: str) -> None:
        super().load(path, data, formula)
        self.data = self.with_groups(data)

    def fitted(self, data: pd.DataFrame, y: np.ndarray, satterthwaite: bool = False) -> Any:
        X = formulaic.model_matrix(self.fixed.split("~")[1].strip(), data)
        self.names = list(X.columns)
        groups = {group: data[group.replace(":", "_")].to_numpy() for _, group in self.terms}
        slopes = {group: random for random, group in self.terms if random != "1"}
        return lmm(
            y,
            X.to_numpy(float),
            groups,
            random_effects={group: ["1", name] for group, name in slopes.items()} or None,
            random_data={name: data[name].to_numpy(float) for name in slopes.values()} or None,
            compute_satterthwaite=satterthwaite,
        )

    def fit_to(self, data: pd.DataFrame) -> Any:
        return self.fitted(data, data[self.response].to_numpy(float))

    def refit_to(self, y: np.ndarray) -> Any:
        return self.fitted(self.data, y)

    def answer(self, fit: Any) -> dict[str, Any]:
        criterion = -2 * fit.log_likelihood
        return {
            "criterion": criterion,
            "beta": fit.coefficients,
            "se": fit.standard_errors,
            "names": self.names,
        }

    def satterthwaite(self) -> dict[str, Any]:
        """Fit and test: the degrees of freedom come with the fit and cannot be had by themselves."""
        fit = self.fitted(self.data, self.data[self.response].to_numpy(float), satterthwaite=True)
        return {"df": fit.df_satterthwaite, "names": self.names}

    def estimates(self) -> tuple[np.ndarray, np.ndarray, float]:
        fit = self.fit
        sd = np.array([part.std_dev for part in fit.var_components])
        corr = np.eye(len(sd))
        if len(sd) == 2:
            corr[0, 1] = corr[1, 0] = fit.var_components[1].corr
        root = np.linalg.cholesky(sd[:, None] * corr * sd)
        return np.asarray(fit.coefficients), root, float(fit.params.residual_std)

    def p_value(self, data: pd.DataFrame) -> float:
        return self.fitted(data, data[self.response].to_numpy(float), satterthwaite=True).p_values[1]
