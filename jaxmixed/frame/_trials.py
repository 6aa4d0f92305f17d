"""Trials of scenarios: data drawn, fitted and tested, the same programs for all designs of one shape.

    Scenario -> Recipe -> statistics -> fits -> contrasts and joint tests -> Trials

Statistics of designs that differ in the number of levels of a pattern, or in true parameters, have the same
shape, so that a curve over ten sizes compiles no more than one size does.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxmixed import core

from ._batches import in_pieces
from ._hypotheses import Hypotheses
from ._references import by_method
from ._scenario import Scenario
from ._statistics import SINGULAR


class Trials(NamedTuple):
    """What was found in R data sets drawn from one scenario.

    Attributes
    ----------
    beta, se, df
        Fixed effects, their standard errors and degrees of freedom, shape (R, p).
    sdcor
        Standard deviations and correlations in theta's order, and sigma, shape (R, k + 1).
    p_values
        Of each test, shape (R, T).
    result
        How each fit ended, an index into `core.RESULTS`, shape (R,).
    singular
        Whether a covariance matrix is singular, shape (R,).
    """

    beta: np.ndarray
    se: np.ndarray
    df: np.ndarray
    sdcor: np.ndarray
    p_values: np.ndarray
    result: np.ndarray
    singular: np.ndarray


class Job(NamedTuple):
    """Trials to be made of one scenario: number i is drawn with `fold_in(key, i)`."""

    scenario: Scenario
    key: Any
    tests: tuple[Hypotheses, ...]


def run(jobs: Sequence[Job], n: int, ddf: str, progress: bool, first: int = 0) -> list[Trials]:
    """Return trials first, ..., first + n - 1 of every job; if interrupted, fewer of fewer jobs."""
    pieces = [
        (number, start, min(job.scenario._recipe.at_once, n - start))
        for number, job in enumerate(jobs)
        for start in range(0, n, job.scenario._recipe.at_once)
    ]

    def work(index: int, _: int) -> tuple[int, Trials]:
        number, start, count = pieces[index]
        return number, _piece(jobs[number], first + start, count, ddf)

    done = in_pieces(work, len(pieces), 1, progress, "piece")
    found = ([trials for own, trials in done if own == number] for number in range(len(jobs)))
    return [Trials(*(np.concatenate(parts) for parts in zip(*own, strict=True))) for own in found if own]


def _piece(job: Job, first: int, count: int, ddf: str) -> Trials:
    scenario, recipe, p = job.scenario, job.scenario._recipe, len(job.scenario.frame.fixed_names)
    single = [test for test in job.tests if len(test.matrix) == 1]
    joint = [(test.matrix, test.values) for test in job.tests if len(test.matrix) > 1]
    L = np.concatenate([np.eye(p), *(test.matrix for test in single)])
    values = np.concatenate([np.zeros(p), *(test.values for test in single)])
    asked = job.key, first, count, scenario.reml
    fits, found = recipe.fit(*asked, _tester(scenario.reml, ddf), (L, values, joint))
    own = iter(core.t_pvalue(found.statistic[:, p:], found.df[:, p:]).T)
    several = iter([core.f_pvalue(*test) for test in found.joint])
    p_values = [next(own if len(test.matrix) == 1 else several) for test in job.tests]
    return Trials(
        found.beta,
        found.se[:, :p],
        found.df[:, :p],
        found.sdcor,
        np.column_stack([np.empty((count, 0)), *p_values]),
        fits.result,
        found.singular,
    )


class _Tested(NamedTuple):
    """Estimates, t tests of the contrasts L, joint tests (F and its degrees of freedom), singularity."""

    beta: Any
    sdcor: Any
    se: Any
    df: Any
    statistic: Any
    joint: list[tuple[Any, Any, Any]]
    singular: Any


@functools.cache
def _tester(reml: bool, ddf: str) -> Callable[..., _Tested]:
    """Return the tests of one fit; p values are left to the host, whose functions are faster."""

    def read(theta, stats, L, values, joint):
        found, tests = core.estimates(theta, stats, reml), by_method(ddf, theta, stats, reml)
        single, several = tests.t_test(L, values), [tests.f_test(*rows) for rows in joint]
        F = [(test.statistic, test.df_num, test.df_den) for test in several]
        diagonals = [jnp.diagonal(factor) for factor in core.conditioned_factors(theta, stats)]
        singular = jnp.abs(jnp.concatenate(diagonals)).min() < SINGULAR
        sdcor = core.standard_deviations(theta, found.sigma, stats.blocks)
        return _Tested(found.beta, sdcor, single.std_error, single.df, single.statistic, F, singular)

    return read
