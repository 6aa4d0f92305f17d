"""Simulation studies: how estimates, intervals and tests do where the truth is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_alpha, check_count
from ._errors import DataError
from ._estimate import as_key
from ._labels import variance_labels
from ._performance import Measure, estimation, precision, rate
from ._references import Ddf, check_ddf
from ._scenario import Params, Scenario, as_scenario
from ._study_tests import Tests, read_tests
from ._trials import Job, Trials, run


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Simulated data sets of several scenarios; made by `simulate_study`.

    Attributes
    ----------
    scenarios
        The scenarios by their names.
    trials
        For each of them estimates, standard errors, degrees of freedom, p values and results, as arrays.
    ddf, alpha
        Method and level of tests and intervals.
    """

    scenarios: dict[str, Scenario]
    trials: list[Trials]
    ddf: Ddf
    alpha: float
    _tests: list[Tests] = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """Return one row for each scenario and parameter, and for each test that was asked for.

        Trials that did not converge are counted in `convergence` and left out of all else.

        Returns
        -------
        pandas.DataFrame
            `scenario`, `parameter`, `truth`, `n` (trials counted); `bias`, `emp_se`, `mse`, `model_se` (the
            root mean square of standard errors), `se_error` (by how many percent it differs from `emp_se`),
            `coverage` (of intervals at level 1 - alpha), `rejection` (of the hypothesis that a coefficient
            is zero, or of a test's), `convergence`, `singular` (rates over trials), each followed by its
            Monte Carlo standard error, `bias_mcse` and so on. Variance parameters have no model_se, coverage
            and rejection; tests have no truth and estimates. `.attrs["notes"]` says what was left out.
        """
        parts = zip(self.scenarios.items(), self.trials, self._tests, strict=True)
        rows = [row for (name, one), trials, tests in parts for row in self._rows(name, one, trials, tests)]
        columns = [*FACTS, *(column for name in MEASURES for column in (name, f"{name}_mcse"))]
        table = pd.DataFrame(rows, columns=columns)
        table.attrs.update(ddf=self.ddf, alpha=self.alpha, notes=self._notes())
        return table

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each scenario, trial and fixed effect.

        The columns are `scenario`, `trial`, `parameter`, `estimate`, `std_error`, `df`, `status`, `singular`.
        """
        frames = []
        for (name, scenario), trials in zip(self.scenarios.items(), self.trials, strict=True):
            n, p = trials.beta.shape
            status = np.array(core.RESULTS, dtype=object)[trials.result]
            columns = {"scenario": name, "trial": np.repeat(np.arange(n), p)}
            columns |= {"parameter": np.tile(np.array(scenario.frame.fixed_names, dtype=object), n)}
            columns |= {"estimate": trials.beta.ravel(), "std_error": trials.se.ravel()}
            columns |= {"df": trials.df.ravel(), "status": np.repeat(status, p)}
            frames.append(pd.DataFrame(columns | {"singular": np.repeat(trials.singular, p)}))
        return pd.concat(frames, ignore_index=True)

    def __repr__(self) -> str:
        table = self.summary()
        shown = [*FACTS, "bias", "emp_se", "model_se", "coverage", "rejection", "convergence"]
        notes = "\n".join(table.attrs["notes"])
        return f"{table[shown].to_string(index=False)}\n{notes}".rstrip()

    def _rows(self, name: str, scenario: Scenario, trials: Trials, tests: Tests) -> Iterable[dict[str, Any]]:
        good = trials.result == 0
        both = {"convergence": rate(good), "singular": rate(trials.singular[good])}
        for j, label in enumerate(scenario.frame.fixed_names):
            t, se, df = (values[good, j] for values in (trials.beta, trials.se, trials.df))
            truth = float(scenario.params[label])
            measures = estimation(t, truth) | precision(t, se) | both
            against_truth, against_zero = (core.t_pvalue((t - value) / se, df) for value in (truth, 0.0))
            measures["coverage"] = rate(against_truth[~np.isnan(against_truth)] >= self.alpha)
            measures["rejection"] = self._rejection(against_zero)
            yield _row(name, label, truth, len(t), measures)
        for label, values in zip(
            variance_labels(scenario.frame, "sdcor")[0], trials.sdcor[good].T, strict=True
        ):
            # The correlation of an effect without variance is none.
            values, truth = values[~np.isnan(values)], float(scenario.params[label])
            yield _row(name, label, truth, len(values), estimation(values, truth) | both)
        for label, p_values in zip(tests.labels, trials.p_values[good].T, strict=True):
            yield _row(name, label, np.nan, len(p_values), {"rejection": self._rejection(p_values)} | both)

    def _rejection(self, p_values: np.ndarray) -> Measure:
        return rate(p_values[~np.isnan(p_values)] < self.alpha)

    def _notes(self) -> tuple[str, ...]:
        notes = []
        for name, trials in zip(self.scenarios, self.trials, strict=True):
            ended, counts = np.unique(trials.result[trials.result != 0], return_counts=True)
            notes += [
                f"{name}: {count} of {len(trials.result)} trials left out: {core.RESULTS[int(result)]}."
                for result, count in zip(ended, counts, strict=True)
            ]
        return tuple(notes)


FACTS = ("scenario", "parameter", "truth", "n")
MEASURES = (
    "bias", "emp_se", "mse", "model_se", "se_error", "coverage", "rejection", "convergence", "singular",
)  # fmt: skip


def simulate_study(
    scenarios: Any,
    n: int,
    key: Any,
    params: Mapping[str, Params] | None = None,
    tests: Any = None,
    ddf: Ddf = "satterthwaite",
    alpha: float = 0.05,
    progress: bool = True,
) -> Study:
    """Simulate data from known truths, fit and test them, and measure how well that goes.

    Sufficient statistics are drawn without drawing rows, and fitted in batches. Crossed factors are drawn
    row by row.

    Parameters
    ----------
    scenarios
        A scenario by `jm.scenario`, or a fit whose estimates are the truth; or several by name.
    n
        Number of data sets of each scenario.
    key
        A seed, or a JAX random key. Data set i of scenario s depends on the key, s and i alone.
    params
        Further true parameters by name, each a mapping of those that differ: every one of them is combined
        with every scenario.
    tests
        Further tests, as in `power`; that each coefficient is zero is tested always.
    ddf
        Method of tests and intervals: `"satterthwaite"`, `"kenward-roger"`, `"wald"`, `"residual"`.
    alpha
        Level of tests, and one less the coverage of intervals.
    progress
        Whether to show a bar, on terminals. An interrupt keeps what is done.

    Returns
    -------
    Study
        `summary()`, measures with Monte Carlo standard errors; `to_frame()`, every estimate.

    Raises
    ------
    DataError
        If a scenario, a parameter, a test or an option is none.

    References
    ----------
    Morris, White & Crowther (2019), doi:10.1002/sim.8086.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> design = jm.make_design(subject=20, time=range(5))
    >>> truth = {"Intercept": 250, "time": 10, "sd(Intercept | subject)": 25, "sigma": 25}
    >>> start = jm.scenario("y ~ time + (1 | subject)", design, truth)
    >>> scenarios = {"20": start, "80": start.change(groups={"subject": 80})}
    >>> study = jm.simulate_study(scenarios, n=4000, key=1)
    >>> found = study.summary().query("parameter == 'time'")
    >>> found[["scenario", "n", "emp_se", "model_se", "coverage"]].round(2)
      scenario     n  emp_se  model_se  coverage
    1       20  4000    1.74      1.77      0.95
    5       80  4000    0.89      0.88      0.95
    """
    check_count("n", n)
    check_alpha(alpha)
    named = _grid(_named(scenarios), params)
    for scenario in named.values():
        check_ddf(ddf, scenario.reml)
    asked = [
        Tests((), ()) if tests is None else read_tests(tests, scenario.frame.fixed_names)
        for scenario in named.values()
    ]
    with jax.enable_x64(True):
        key = as_key(key)
        jobs = [
            Job(scenario, jax.random.fold_in(key, s), own.hypotheses)
            for s, (scenario, own) in enumerate(zip(named.values(), asked, strict=True))
        ]
    trials = run(jobs, n, ddf, progress)
    done = dict(list(named.items())[: len(trials)])
    return Study(done, trials, ddf, alpha, asked[: len(trials)])


def _named(scenarios: Any) -> dict[str, Scenario]:
    if isinstance(scenarios, Mapping):
        if not scenarios:
            raise DataError("scenarios is empty; expected one at least, such as {'small': jm.scenario(...)}.")
        return {str(name): as_scenario(model) for name, model in scenarios.items()}
    if isinstance(scenarios, Iterable):
        raise DataError(
            f"scenarios is of type {type(scenarios).__name__}; expected one by jm.scenario, a fit, or a "
            f"mapping from names to these, such as {{'small': jm.scenario(...)}}."
        )
    return {"scenario": as_scenario(scenarios)}


def _grid(scenarios: dict[str, Scenario], params: Any) -> dict[str, Scenario]:
    """Combine scenarios with true parameters."""
    if params is None:
        return scenarios
    if not isinstance(params, Mapping) or not all(isinstance(one, Mapping) for one in params.values()):
        raise DataError(
            f"params is {params!r}; expected names, each with the parameters that differ, such as "
            f"{{'no effect': {{'time': 0}}}}."
        )
    return {
        f"{name}, {other}": scenario.change(params=new)
        for name, scenario in scenarios.items()
        for other, new in params.items()
    }


def _row(name: str, label: str, truth: float, n: int, measures: dict[str, Measure]) -> dict[str, Any]:
    row: dict[str, Any] = {"scenario": name, "parameter": label, "truth": truth, "n": n}
    for measure, (value, mcse) in measures.items():
        row |= {measure: value, f"{measure}_mcse": mcse}
    return row
