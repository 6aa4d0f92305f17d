"""Power of tests by simulation: the share of data sets in which a hypothesis is rejected."""

from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_alpha, check_count
from ._estimate import as_key
from ._performance import exact_interval
from ._references import Ddf, check_ddf
from ._scenario import Params, Sizes, as_scenario
from ._study_tests import Tests, read_tests
from ._trials import Job, Trials, run
from ._words import counted


def power(
    model: Any,
    n: int,
    key: Any,
    tests: Any = None,
    params: Params | None = None,
    groups: Sizes | None = None,
    rows: Sizes | None = None,
    alpha: float = 0.05,
    ddf: Ddf = "satterthwaite",
    progress: bool = True,
) -> pd.DataFrame:
    """Return the power of tests of the fixed effects, all of them in one pass over simulated data sets.

    Parameters
    ----------
    model
        A pilot fit, whose estimates are taken for the truth, or a scenario by `jm.scenario`.
    n
        Number of data sets.
    key
        A seed, or a JAX random key. Data set i depends on the key and on i alone, so that two designs, or two
        sets of parameters, are compared on the same random numbers.
    tests
        Names of coefficients, or hypotheses in words: `"time"`, `"time = 5"`; several in one text make a
        joint F test, `"arm[b] = 0, arm[c] = 0"`. A list of these, or a mapping from labels to hypotheses in
        any form of `wald_test`. By default every coefficient but the intercept.
    params, groups, rows
        What differs from the model: true parameters, numbers of levels, numbers of rows in each level. As in
        `Scenario.change`.
    alpha
        Level of the tests, two-sided.
    ddf
        Method of the tests: `"satterthwaite"`, `"kenward-roger"`, `"wald"`, `"residual"`.
    progress
        Whether to show a bar, on terminals. An interrupt keeps what is done.

    Returns
    -------
    pandas.DataFrame
        `test`, `power`, `conf_low`, `conf_high` (its exact 95% interval), `n` (data sets counted), `failures`
        (those left out: no convergence, or no p value), `singular` (fits on the boundary, which count).
        `.attrs["notes"]` says what was left out.

    Raises
    ------
    DataError
        If the model, a test or a change is none.

    References
    ----------
    Green & MacLeod (2016), doi:10.1111/2041-210X.12504; Clopper & Pearson (1934),
    doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.power(fit, n=1000, key=1, params={"Days": 4}, groups={"Subject": 24})[["test", "n", "failures"]]
       test     n  failures
    0  Days  1000         0
    """
    check_count("n", n)
    check_alpha(alpha)
    scenario = as_scenario(model).change(params, groups, rows)
    check_ddf(ddf, scenario.reml)
    asked = read_tests(tests, scenario.frame.fixed_names)
    with jax.enable_x64(True):
        key = as_key(key)
    (trials,) = run([Job(scenario, key, asked.hypotheses)], n, ddf, progress)
    table = power_table(trials, asked, alpha)
    table.attrs.update(ddf=ddf, alpha=alpha, notes=power_notes(trials))
    return table


def power_table(trials: Trials, tests: Tests, alpha: float) -> pd.DataFrame:
    """Return the power of each test."""
    rows = []
    for label, p_values in zip(tests.labels, trials.p_values.T, strict=True):
        good = (trials.result == 0) & ~np.isnan(p_values)
        n, hits = int(good.sum()), int((p_values[good] < alpha).sum())
        low, high = exact_interval(hits, n)
        singular = int(trials.singular[good].sum())
        rows.append((label, hits / n if n else np.nan, low, high, n, len(good) - n, singular))
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = ["test", "power", "conf_low", "conf_high", "n", "failures", "singular"]


def power_notes(trials: Trials) -> tuple[str, ...]:
    """Say in sentences what was left out, and why."""
    notes, total = [], counted(len(trials.result), "data set")
    ended, counts = np.unique(trials.result[trials.result != 0], return_counts=True)
    for result, count in zip(ended, counts, strict=True):
        notes.append(f"{count} of {total} left out: {core.RESULTS[int(result)]}.")
    undefined = np.isnan(trials.p_values[trials.result == 0]).any(axis=1).sum()
    if undefined:
        notes.append(f"{undefined} of {total} left out of a test that is undefined there.")
    return tuple(notes)
