"""Likelihood ratio tests between models of the same response.

    statistic = 2 (llf_1 - llf_0),     df = n_parameters_1 - n_parameters_0,     statistic ~ chi2(df)

for a model 0 that is model 1 with some of its parameters held at a value. Restricted likelihoods of models
with other fixed effects are of other data, so all models are compared by maximum likelihood.
"""

import dataclasses
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd

from ._errors import ConvergenceWarning, DataError, RefitWarning
from ._estimate import fit_and_read
from ._ranova import chi_squared_p
from ._reduced import response_sums
from ._statistics import FitStatistics
from ._words import counted, listed

SAME = 1e-9  # relative difference of the sums of the same rows, added up in two ways
ROUNDING = 1e-6  # on the deviance scale: what the optimiser may leave


def anova(*fits: FitStatistics) -> pd.DataFrame:
    """Compare models fitted to the same rows by likelihood ratio tests, each with the one before it.

    Models fitted by REML are fitted again by maximum likelihood, with a `RefitWarning`. The models
    should be nested. Where they differ in a variance, its value under the smaller model lies on the
    boundary and the p value is too large; for one variance `exact_rlrt` is exact.

    Parameters
    ----------
    *fits
        Two or more results of `jm.lmer`, in any order.

    Returns
    -------
    DataFrame
        A row for each model, by its formula, in order of the number of parameters: `n_parameters`, `aic`,
        `bic`, `llf`, `deviance` (-2 llf), and from the second on `statistic` (chi squared), `df` and
        `p_value`. What was done to the models, or should make one hesitate, is in `.attrs["note"]`.

    Raises
    ------
    DataError
        If there are fewer than two fits, or their rows, responses or weights differ.

    Warns
    -----
    RefitWarning, ConvergenceWarning

    References
    ----------
    Self & Liang (1987), doi:10.1080/01621459.1987.10478472, on variances at the boundary.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> sleep = jm.datasets.load("sleepstudy")
    >>> small = jm.lmer("Reaction ~ Days + (1 | Subject)", sleep, reml=False)
    >>> large = jm.lmer("Reaction ~ Days + (Days | Subject)", sleep, reml=False)
    >>> table = jm.anova(small, large)
    >>> table[["n_parameters", "deviance", "statistic", "df"]].round(2)
                                        n_parameters  deviance  statistic   df
    model
    Reaction ~ Days + (1 | Subject)                4   1794.08        NaN  NaN
    Reaction ~ Days + (Days | Subject)             6   1751.94      42.14  2.0
    """
    _check_comparable(fits)
    notes = []
    if refitted := [fit.frame.formula.text for fit in fits if fit.reml]:
        notes.append(f"Fitted again by maximum likelihood: {listed(refitted)}.")
        warnings.warn(notes[0], RefitWarning, stacklevel=2)
    models = sorted((by_maximum_likelihood(fit) for fit in fits), key=lambda fit: fit.n_parameters)
    for model in models:
        if model.doubts is not None:
            notes.append(f"{model.frame.formula.text!r}: {model.doubts}")
            warnings.warn(notes[-1], ConvergenceWarning, stacklevel=2)
    table = likelihood_ratios(models)
    notes += [
        f"{larger!r} is no more likely than {smaller!r}: they are not nested."
        for (smaller, _), (larger, row) in pairwise(table.iterrows())
        if row["df"] > 0 and row["statistic"] < 0
    ]
    if (table["df"] == 0).any():
        notes.append("Models with the same number of parameters are not nested, and have no p value.")
    table.attrs["note"] = " ".join(notes)
    return table


def by_maximum_likelihood(fit: FitStatistics) -> FitStatistics:
    """Return the fit of the same model by maximum likelihood."""
    if not fit.reml:
        return fit
    return dataclasses.replace(fit, reml=False, _found=fit_and_read(fit.stats, reml=False))


def likelihood_ratios(models: list[FitStatistics]) -> pd.DataFrame:
    """Return the table of models in order, each tested against the one before it."""
    names = pd.Index([model.frame.formula.text for model in models], name="model")
    columns = ["n_parameters", "aic", "bic", "llf"]
    table = pd.DataFrame({c: [getattr(model, c) for model in models] for c in columns}, index=names)
    table["deviance"] = -2 * table["llf"]
    statistic = 2 * table["llf"].diff()
    table["statistic"] = statistic.mask((statistic < 0) & (statistic > -ROUNDING), 0.0)
    table["df"] = table["n_parameters"].diff()
    table["p_value"] = chi_squared_p(table["statistic"], table["df"])
    return table


def _check_comparable(fits: tuple[FitStatistics, ...]) -> None:
    for fit in fits:
        if not isinstance(fit, FitStatistics):
            raise DataError(f"Found a {type(fit).__name__} to compare; expected results of jm.lmer.")
    if len(fits) < 2:
        raise DataError(
            f"Found {counted(len(fits), 'fit')} to compare; expected at least two, as in jm.anova(one, two)."
        )
    first = fits[0]
    for fit in fits[1:]:
        pair = f"{first.frame.formula.text!r} and {fit.frame.formula.text!r}"
        if not _same_rows(first, fit):
            raise DataError(
                f"{pair} are fitted to different rows ({_rows(first)}; {_rows(fit)}); expected the same, so "
                f"drop the rows that one of them cannot use from the data of both."
            )
        if not _same_response(first, fit):
            raise DataError(
                f"{pair} have different responses ({first.frame.response!r} and {fit.frame.response!r}, or "
                f"other values of it); expected the same, since likelihoods of other data do not compare."
            )
        if not _same_weights(first, fit):
            raise DataError(
                f"{pair} have different weights; expected the same, so fit both with one of them."
            )


def _same_rows(one: FitStatistics, other: FitStatistics) -> bool:
    if one.nobs != other.nobs:
        return False
    if one.frame.reduced is not None or other.frame.reduced is not None:
        return True
    return np.array_equal(one.frame.kept, other.frame.kept) or one.frame.index.equals(other.frame.index)


def _same_response(one: FitStatistics, other: FitStatistics) -> bool:
    if one.frame.reduced is None and other.frame.reduced is None:
        return np.array_equal(one.y, other.y)
    return np.allclose(*(response_sums(fit.frame) for fit in (one, other)), rtol=SAME, atol=0)


def _rows(fit: FitStatistics) -> str:
    causes = f", without those that miss {listed(fit.frame.dropped_by)}" if fit.frame.dropped_by else ""
    return f"{counted(fit.nobs, 'row')}{causes}"


def _same_weights(one: FitStatistics, other: FitStatistics) -> bool:
    if one.frame.reduced is None and other.frame.reduced is None:
        return np.array_equal(_weights(one), _weights(other))
    return np.isclose(one.stats.log_weights, other.stats.log_weights, rtol=SAME, atol=SAME)


def _weights(fit: FitStatistics) -> np.ndarray:
    weights = fit.frame.design.weights
    return np.ones(fit.nobs) if weights is None else weights
