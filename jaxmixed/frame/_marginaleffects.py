"""A fitted model as one of the package marginaleffects: marginal means, contrasts and slopes.

    new rows -> X in the coding of the fit -> X beta + offset, for any beta

The functions of that package take every subclass of its `ModelAbstract`, which answers for the data of
the fit, for estimates and their covariance, and for predictions; tests and the delta method are theirs.
Predictions are of the population: random effects are zero.
"""

import re
from typing import Any

import numpy as np
import pandas as pd

from ._data import ModelFrame
from ._errors import DataError
from ._expressions import names_in
from ._fixed_part import FixedPart
from ._matrices import compile_parts
from ._newdata import new_design
from ._variables import add_offsets

try:
    import polars as pl
    from marginaleffects.classes import ModelAbstract, ModelVault
except ImportError as error:
    raise ImportError(
        'the package marginaleffects is not installed; run: pip install "jaxmixed[means]"'
    ) from error

# Columns of the tables that marginaleffects returns; it refuses data that have one of them.
RESERVED = frozenset(
    "rowid type group term contrast estimate std_error statistic p_value s_value conf_low conf_high".split()
)
FACTOR_CALL = re.compile(r"\b(?:C|factor)\(\s*`?([^`,()]+?)`?\s*[,)]")
EXACT = 2**53  # whole numbers below have a float64 each
GIVEN_OFFSET = "(offset)"  # R's name of an offset that is no column


class MarginalEffectsModel(ModelAbstract):
    """A fitted model in the terms of marginaleffects; made by `LmerResult.to_marginaleffects`."""

    def __init__(self, fit: FixedPart, df: float) -> None:
        if not df > 0:
            raise DataError(f"df is {df!r}; expected a positive number, or infinity for normal quantiles.")
        self.df_resid = float(df)
        self._predictors = predictors(fit.frame)
        self._offset = offset_name(fit)
        self._inputs = list(dict.fromkeys([*self._predictors, *offset_columns(fit)]))
        data = model_data(fit, self._inputs)
        super().__init__(fit, vault(fit, self._inputs, data))
        for name, kind in kinds(fit.frame, data).items():
            self.set_variable_type(name, kind)

    def find_predictors(self) -> list[str] | None:
        """Return the covariates of the fixed part, or `None` if there are none."""
        return list(self._predictors) or None

    def get_vcov(self, vcov: Any = True) -> np.ndarray | None:
        """Return the covariance of the estimates: the model's, that in a frame, or `None` for `False`."""
        if vcov is None or vcov is False:
            return None
        if vcov is True:
            return np.array(self.model._estimates.vcov)
        names = list(self.model.frame.fixed_names)
        if isinstance(vcov, pd.DataFrame) and list(vcov.index) == list(vcov.columns) == names:
            return vcov.to_numpy(dtype=np.float64)
        found = repr(vcov) if isinstance(vcov, str) else f"a {type(vcov).__name__}"
        raise DataError(
            f"vcov is {found}; expected True, False, or a covariance matrix of the {len(names)} fixed "
            f"effects, an array or a frame from cov_params()."
        )

    def get_df(self) -> float:
        """Return the denominator degrees of freedom of joint tests."""
        return self.df_resid

    def get_exog(self, newdata: pl.DataFrame) -> np.ndarray:
        """Return X of new rows, shape (n, p), and the offset as a further column if the model has one."""
        frame = self.model.frame
        found = [name for name in self._inputs if name in newdata.columns]
        columns = {name: with_levels(newdata[name], frame.factors.get(name)) for name in found}
        data = pd.DataFrame(columns, index=pd.RangeIndex(newdata.height))
        new = new_design(frame, data, random=False, offset=self._offset)
        return new.X if new.offset is None else np.column_stack([new.X, new.offset])

    def get_predict(self, params: np.ndarray, newdata: np.ndarray) -> pl.DataFrame:
        """Return predictions by some fixed effects for rows that `get_exog` has read."""
        p = len(params)
        mean = newdata[:, :p] @ params + newdata[:, p:].sum(axis=1)
        return pl.DataFrame({"rowid": np.arange(len(mean), dtype=np.int32), "estimate": mean})

    def get_autodiff_args(self) -> dict[str, Any] | str:
        """Say that predictions are X beta, whose derivative is X, or why they are not."""
        if self.model.frame.design.offset is not None:
            return "models with an offset"
        return {"model_type": "linear", "family": None, "link": None}


def predictors(frame: ModelFrame) -> list[str]:
    """Return the columns that the fixed part uses."""
    used = [name for name, _ in compile_parts((frame.formula.fixed,))[1]]
    return [name for name in used if name in frame.covariates]


def offset_columns(fit: FixedPart) -> list[str]:
    """Return the columns that the offsets use, those of the formula and of the call."""
    frame, given = fit.frame, offset_name(fit)
    used = [name for expression in frame.formula.offsets for name in names_in(expression)]
    return [name for name in used if name in frame.covariates] + ([] if given is None else [given])


def offset_name(fit: FixedPart) -> str | None:
    """Return the column of the offset of the call, if there is one."""
    return fit.offset if fit.offset is None or isinstance(fit.offset, str) else GIVEN_OFFSET


def vault(fit: FixedPart, inputs: list[str], data: pl.DataFrame) -> ModelVault:
    """Return what marginaleffects keeps of a model."""
    return ModelVault(
        coef=fit.params.to_numpy(copy=True),
        coefnames=np.array(fit.frame.fixed_names),
        # for its names alone: a row of new data in which one is missing is left out
        formula="~ " + " + ".join(["1", *(f"`{name}`" for name in inputs)]),
        modeldata=data,
        package="jaxmixed",
        variable_names=[fit.frame.response, *inputs],
    )


def model_data(fit: FixedPart, inputs: list[str]) -> pl.DataFrame:
    """Return the rows fitted: response, grouping factors, and the columns that predictions depend on."""
    frame = fit.frame
    columns = {frame.response: pl.Series(fit.y)}
    for labels, term in zip(frame.groups, frame.design.terms, strict=True):
        if labels.name not in RESERVED:
            columns[labels.name] = of_levels(term.codes, pd.Index(labels.levels))
    for name in inputs:
        known = name in frame.covariates
        columns[name] = covariate(frame.covariates[name]) if known else pl.Series(given_offset(frame))
    return pl.DataFrame(columns)


def kinds(frame: ModelFrame, data: pl.DataFrame) -> dict[str, str]:
    """Return what each column is: "character", which is a factor of any type, "binary" or "numeric"."""
    factors = {*frame.factors, *FACTOR_CALL.findall(frame.formula.fixed), *(g.name for g in frame.groups)}
    numbers = {name: data[name].to_numpy() for name in data.columns if name not in factors}
    binary = {name for name, values in numbers.items() if np.isin(values, [0, 1]).all()}
    return {
        name: "character" if name in factors else "binary" if name in binary else "numeric"
        for name in data.columns
    }


def covariate(values: pd.Series) -> pl.Series:
    """Return a covariate of the fit, whole numbers as such."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return of_levels(values.cat.codes.to_numpy(), values.cat.categories)
    array = values.to_numpy()
    whole = array.dtype.kind == "f" and (array == np.rint(array)).all() and np.abs(array).max() < EXACT
    return pl.Series(array.astype(np.int64) if whole else array)


def of_levels(codes: np.ndarray, levels: pd.Index) -> pl.Series:
    """Return the levels of some rows: numbers and booleans as such, all else as text in order."""
    if levels.inferred_type in ("integer", "floating", "boolean"):
        return pl.Series(levels[codes].tolist())
    labels = levels.astype(str)
    return pl.Series(labels[codes].tolist(), dtype=pl.Enum(labels.tolist()))


def with_levels(values: pl.Series, levels: pd.Index | None) -> pd.Series:
    """Return new values, text as the levels of the fit that it stands for."""
    array = values.to_numpy()
    if levels is None or array.dtype != object:
        return pd.Series(array)
    known = dict(zip(levels.astype(str), levels, strict=True))
    return pd.Series([known.get(label, label) for label in array], dtype=object)


def given_offset(frame: ModelFrame) -> np.ndarray:
    """Return the offset that the formula does not hold, that of the call."""
    total = np.asarray(frame.design.offset)
    own = add_offsets(frame.formula.offsets, frame.covariates, None, frame.context, frame.state)
    return total if own is None else total - own
