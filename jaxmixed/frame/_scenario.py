"""What data are simulated from: a model, a design and true parameters, with or without a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxmixed import core

from ..core._one_factor_plan import OneFactorPlan
from . import _check as check
from ._data import ModelFrame, model_frame
from ._errors import DataError, FormulaError
from ._estimate import simulate
from ._extend import with_levels, with_rows
from ._fitted import FittedModel
from ._formula import NAME, parse, plain
from ._labels import variance_labels
from ._rank import independent_columns
from ._recipes import Recipe, Rows, parametric
from ._reduced import require_rows
from ._source import open_data
from ._truth import Truth, complete, truth, unknown_parameter

Params = Mapping[str, float]
Sizes = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A design, and what is made of it when first asked for, whatever the true parameters."""

    design: core.Design

    @cached_property
    def rows(self) -> Rows:
        """Return statistics of some response, and what they are made with."""
        conditioned = core.condition(self.design)
        plan = core.plan(conditioned)
        if isinstance(plan, OneFactorPlan):
            plan = plan.merging()
        stats = core.assemble(conditioned, plan, _some_response(len(self.design.X)), compress=True)
        return Rows(self.design, conditioned, plan, stats)


@dataclass(frozen=True, eq=False, repr=False)
class Scenario:
    """A model, a design and true parameters; made by `jm.scenario` or `fit.scenario`. Immutable.

    Attributes
    ----------
    params
        True parameters by the names of `fit.conf_int(parm="all")`: fixed effects, standard deviations,
        correlations and sigma.
    reml
        Whether data are fitted by restricted likelihood.
    """

    params: pd.Series
    reml: bool
    frame: ModelFrame = field(repr=False)
    prepared: Prepared = field(repr=False)

    @property
    def design(self) -> core.Design:
        """The rows as arrays; their response means nothing."""
        return self.prepared.design

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.design.X)

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of every grouping factor."""
        terms = zip(self.frame.groups, self.design.terms, strict=True)
        return {labels.name: term.n_levels for labels, term in terms}

    def change(
        self, params: Params | None = None, groups: Sizes | None = None, rows: Sizes | None = None
    ) -> Scenario:
        """Return a scenario that differs in some parameters, or in the size of its design.

        Parameters
        ----------
        params
            New values of some parameters, by name.
        groups
            By grouping factor, a number of levels. Levels are copied whole, in turn, so that the shares of
            covariates that differ between levels stay what they are; levels of other factors within them
            are copied along, as new levels. With `school/class`, `{"school": 40}` are 40 schools with the
            classes they have, `{"class:school": 90}` 90 classes in the same schools.
        rows
            By grouping factor, a number of rows in each level: the level's rows are repeated, or a part of
            them taken, in turn, covariates and other factors as they are.
        """
        design = self.design
        for sizes, resized in ((groups, with_levels), (rows, with_rows)):
            for factor, number in self._sizes(sizes, "groups" if resized is with_levels else "rows"):
                design = resized(design, factor, number)
        prepared = self.prepared
        if design is not self.design:
            _check_design(design, self.frame)
            prepared = Prepared(design)
        changed = self.params if params is None else _changed(self.params, params, self.frame)
        return _checked(replace(self, params=changed, prepared=prepared))

    def simulate(self, n: int, key: Any) -> np.ndarray:
        """Draw n responses, shape (n, nobs), from a seed or a JAX key."""
        check.check_count("n", n)
        return simulate(self.design, *self._truth, n, key)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {J}" for name, J in self.ngroups.items())
        return (
            f"Scenario: {self.frame.formula.text}\nRows:     {self.nobs}\nLevels:   {sizes}\n\n"
            f"{self.params.to_string()}"
        )

    def _sizes(self, sizes: Any, what: str) -> list[tuple[int, int]]:
        """Return positions of grouping factors, and the numbers asked for."""
        if sizes is None:
            return []
        names = list(self.ngroups)
        if not isinstance(sizes, Mapping):
            raise DataError(f"{what} is {sizes!r}; expected a mapping, such as {{{names[0]!r}: 40}}.")
        for name, number in sizes.items():
            if name not in names:
                raise DataError(
                    f"{what} names {name!r}; expected a grouping factor of the model: "
                    f"{', '.join(map(repr, names))}."
                )
            check.check_count(f"{what}[{name!r}]", number)
        return [(names.index(name), int(number)) for name, number in sizes.items()]

    @cached_property
    def _truth(self) -> Truth:
        return truth(self.params, self.frame, tuple(term.blocks for term in self.design.terms))

    @cached_property
    def _recipe(self) -> Recipe:
        with jax.enable_x64(True):
            return parametric(*self._truth, self.prepared.rows)


def scenario(formula: str, design: Any, params: Params, reml: bool = True) -> Scenario:
    """Describe what data are simulated from: a model, a design and true parameters.

    Parameters
    ----------
    formula
        As for `lmer`; the response is a plain name. A formula is code, evaluated as Python: it must not come
        from a stranger.
    design
        A data frame of covariates and grouping factors, from `make_design` or elsewhere; a response in it is
        not looked at.
    params
        True values by name: every fixed effect, `"sd(Days | Subject)"`, `"sigma"`, in units of the response;
        `"cor(Intercept, Days | Subject)"` is zero unless given. Standard deviations may be zero, and
        covariance matrices singular.
    reml
        Whether simulated data are fitted by restricted likelihood (default) or likelihood.

    Returns
    -------
    Scenario
        For `power`, `power_curve` and `simulate_study`.

    Raises
    ------
    FormulaError, DataError
        Both ValueErrors, in one sentence: what was found, what was expected, and the remedy.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> design = jm.make_design(subject=20, time=range(5))
    >>> truth = {"Intercept": 250, "time": 10, "sd(Intercept | subject)": 25, "sigma": 25}
    >>> jm.scenario("y ~ time + (1 | subject)", design, truth)
    Scenario: y ~ time + (1 | subject)
    Rows:     100
    Levels:   subject 20
    <BLANKLINE>
    Intercept                  250.0
    time                        10.0
    sd(Intercept | subject)     25.0
    sigma                       25.0
    """
    check.check_choice("reml", reml, (True, False))
    parsed = parse(formula)
    if not NAME.fullmatch(parsed.response):
        raise FormulaError(
            f"The response is {parsed.response!r}; expected a plain name, since it is simulated, such as 'y'."
        )
    source = open_data(design, "design")
    data = pd.DataFrame({str(name): source.get(name).reset_index(drop=True) for name in source.columns})
    frame = model_frame(formula, data.assign(**{plain(parsed.response): _some_response(len(data))}))
    return _checked(Scenario(complete(params, frame), reml, frame, Prepared(frame.design)))


def of_fit(fit: FittedModel) -> Scenario:
    """Return the scenario whose truth is what a fit has estimated."""
    require_rows(fit.frame, "A study of the design of a fit")
    deviations = core.standard_deviations(fit.theta, fit.sigma, fit.stats.blocks)
    # A correlation with a standard deviation of zero is none.
    estimates = dict(zip(variance_labels(fit.frame, "sdcor")[0], np.nan_to_num(deviations), strict=True))
    estimates |= dict(zip(fit.frame.fixed_names, fit._estimates.beta, strict=True))
    return Scenario(complete(estimates, fit.frame), fit.reml, fit.frame, Prepared(fit.frame.design))


def as_scenario(model: Any) -> Scenario:
    """Return a scenario given as such, or as a fit that stands for it."""
    if isinstance(model, Scenario):
        return model
    if isinstance(model, FittedModel):
        return of_fit(model)
    raise DataError(
        f"The model is of type {type(model).__name__}; expected a fit by jm.lmer, or jm.scenario(...)."
    )


def _checked(scenario: Scenario) -> Scenario:
    """Look at the covariance matrices before anything is compiled."""
    assert scenario._truth
    return scenario


def _changed(params: pd.Series, new: Any, frame: ModelFrame) -> pd.Series:
    if not isinstance(new, Mapping | pd.Series):
        raise DataError(f"params is {new!r}; expected a mapping from names of parameters to values.")
    for name in new.keys():
        if name not in params.index:
            raise unknown_parameter(name, list(params.index))
    return complete(params.to_dict() | dict(new.items()), frame)


def _check_design(design: core.Design, frame: ModelFrame) -> None:
    """Check that a model can still be fitted to other rows."""
    X = design.X
    check.check_columns(X.shape[1], len(X))
    weighted = design.weights is not None and bool(np.ptp(design.weights) > 0)
    for labels, term in zip(frame.groups, design.terms, strict=True):
        check.check_group(labels.name, term.n_levels, labels.terms, len(X), weighted)
    independent = independent_columns(X)
    if not independent.all():
        lost = frame.fixed_names[int(np.argmin(independent))]
        raise DataError(
            f"In so small a part of the design the coefficient {lost!r} cannot be estimated; expected rows "
            f"in which its column differs from all others, so take more levels or rows."
        )


def _some_response(n: int) -> np.ndarray:
    """Return numbers where a response must stand that is not looked at."""
    return np.random.default_rng(0).normal(size=n)
