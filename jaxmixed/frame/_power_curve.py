"""Power along one number: levels of a group, rows in a level, or a true parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from ._check import check_alpha, check_count
from ._errors import DataError
from ._estimate import as_key
from ._power import power_notes, power_table
from ._references import Ddf, check_ddf
from ._sample_size import smallest
from ._scenario import Scenario, as_scenario
from ._study_tests import Tests, read_tests
from ._trials import Job, Trials, run
from ._words import listed

FRESH = 4  # times the data sets of the curve, at sizes about the one sought
MOST = 64  # times the largest size of the curve: where the search for one ends


class Axis(NamedTuple):
    """What varies along a curve, among all that differs from the model.

    Attributes
    ----------
    kind
        "params", "groups" or "rows".
    name
        Name of the parameter or grouping factor.
    values
        Its values, in the order given.
    others
        What else differs from the model, by kind.
    """

    kind: str
    name: str
    values: tuple[Any, ...]
    others: dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """A model, and how its power is simulated at any value along an axis."""

    model: Scenario
    axis: Axis
    tests: Tests
    key: Any
    alpha: float
    ddf: Ddf

    def scenario(self, value: Any) -> Scenario:
        """Return the scenario at one value."""
        others = self.axis.others
        own = {**(others.get(self.axis.kind) or {}), self.axis.name: value}
        return self.model.change(**{**others, self.axis.kind: own})

    def run(self, scenarios: list[Scenario], first: int, n: int, progress: bool) -> list[Trials]:
        """Return trials first, ..., first + n - 1, by the same random numbers in every scenario."""
        jobs = [Job(scenario, self.key, self.tests.hypotheses) for scenario in scenarios]
        return run(jobs, n, self.ddf, progress, first)

    def at(self, value: int, first: int, n: int, progress: bool) -> pd.DataFrame:
        """Return the power of each test at one value, as `power` does."""
        (trials,) = self.run([self.scenario(value)], first, n, progress)
        if len(trials.result) < n:
            raise KeyboardInterrupt  # a search needs every number
        return power_table(trials, self.tests, self.alpha)


@dataclass(frozen=True, eq=False, repr=False)
class PowerCurve:
    """Power along one number; made by `power_curve`.

    Attributes
    ----------
    along
        Name of the grouping factor or parameter that varies.
    axis
        What of it: `"groups"`, its number of levels; `"rows"`, the number of rows in each of them;
        `"params"`, a true value.
    n
        Number of data sets at every value.
    """

    along: str
    axis: str
    n: int
    _table: pd.DataFrame = field(repr=False)
    _curve: Curve = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each value and test.

        The columns are `value`, `nobs` (rows of the design), and those of `power`: `test`, `power`,
        `conf_low`, `conf_high`, `n`, `failures`, `singular`. `.attrs` has `along`, `axis` and `notes`.
        """
        return self._table.copy()

    def sample_size(self, target: float = 0.8, progress: bool = True) -> pd.DataFrame:
        """Return the smallest number of levels, or of rows in each, at which a test has some power.

        By bisection, first with as many data sets as the curve has, then with four times as many new ones
        near the number found, the same random numbers being used at every size. The power reported is that of
        as many new ones again, so that it owes nothing to the search. Power is taken to grow with the number.

        Parameters
        ----------
        target
            Power, such as 0.8.
        progress
            Whether to show bars, on terminals.

        Returns
        -------
        pandas.DataFrame
            One row for each test: `test`; `value`, missing if 64 times the largest number of the curve will
            not do; and the power there, in the columns of `power`.

        Raises
        ------
        DataError
            If the curve is along a parameter, or the target is no power.
        """
        if self.axis == "params":
            raise DataError(
                f"The curve is along the parameter {self.along!r}; expected one along groups= or rows=, "
                f"whose sizes can be chosen."
            )
        if not isinstance(target, float) or not 0 < target < 1:
            raise DataError(f"target is {target!r}; expected a power between 0 and 1, such as 0.8.")
        tried: dict[tuple[int, int], pd.DataFrame] = {}
        found = [self._search(t, target, tried, progress) for t in range(len(self._curve.tests.labels))]
        table = pd.concat(found, ignore_index=True)
        return table.astype({"value": "Int64"})

    def _search(self, t: int, target: float, tried: dict[Any, pd.DataFrame], progress: bool) -> pd.DataFrame:
        """Find the number for one test; `tried` keeps what is known from the others."""
        values = sorted(self._table["value"].unique())

        def at(value: int, first: int, n: int) -> pd.DataFrame:
            if (value, first) not in tried:
                tried[value, first] = self._curve.at(value, first, n, progress)
            return tried[value, first].iloc[[t]]

        def reaches(value: int, first: int, n: int) -> bool:
            try:
                return at(value, first, n)["power"].iloc[0] >= target
            except DataError:
                if value < values[0]:
                    return False  # too small for the model
                raise

        own = self._table[self._table["test"] == self._curve.tests.labels[t]].set_index("value")["power"]
        start = min(own.index[own >= target], default=values[-1])
        for first, n in ((0, self.n), (self.n, FRESH * self.n)):
            start = smallest(lambda v, first=first, n=n: reaches(v, first, n), int(start), MOST * values[-1])
            if start is None:
                return pd.DataFrame({"test": [own.name], "value": [pd.NA]})
        last = at(start, (1 + FRESH) * self.n, FRESH * self.n).reset_index(drop=True)
        last.insert(1, "value", start)
        return last

    def __repr__(self) -> str:
        what = {"groups": "number of levels of ", "rows": "rows in each level of ", "params": ""}[self.axis]
        shown = self._table.to_string(index=False)
        return "\n".join([f"Power along {what}{self.along}", "", shown, *self._table.attrs["notes"]])


def power_curve(
    model: Any,
    n: int,
    key: Any,
    tests: Any = None,
    params: Mapping[str, Any] | None = None,
    groups: Mapping[str, Any] | None = None,
    rows: Mapping[str, Any] | None = None,
    alpha: float = 0.05,
    ddf: Ddf = "satterthwaite",
    progress: bool = True,
) -> PowerCurve:
    """Return power along the number of levels of a group, of rows in each, or along a true parameter.

    Parameters
    ----------
    model, n, key, tests, alpha, ddf, progress
        As in `power`. The same random numbers are used at every value, so that differences between values
        have smaller errors than the intervals of each say.
    params, groups, rows
        As in `power`, but that one of all the numbers is replaced by several:
        `groups={"subject": [10, 20, 40]}` or `params={"time": [2, 4]}, groups={"subject": 30}`.

    Returns
    -------
    PowerCurve
        `to_frame()`, a row for each value and test; `sample_size(0.8)`.

    Raises
    ------
    DataError
        If the model, a test or a change is none, or not exactly one number is several.

    References
    ----------
    Green & MacLeod (2016), doi:10.1111/2041-210X.12504.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> design = jm.make_design(subject=20, time=range(5))
    >>> truth = {"Intercept": 250, "time": 3, "sd(Intercept | subject)": 25, "sigma": 25}
    >>> start = jm.scenario("y ~ time + (1 | subject)", design, truth)
    >>> curve = jm.power_curve(start, n=1000, key=1, groups={"subject": [10, 20, 40, 80]})
    >>> curve.to_frame()[["value", "nobs", "n"]]
       value  nobs     n
    0     10    50  1000
    1     20   100  1000
    2     40   200  1000
    3     80   400  1000
    """
    check_count("n", n)
    check_alpha(alpha)
    start, axis = as_scenario(model), _axis({"params": params, "groups": groups, "rows": rows})
    if axis.kind == "params":  # one design for all
        start, axis = start.change(**axis.others), axis._replace(others={})
    check_ddf(ddf, start.reml)
    asked = read_tests(tests, start.frame.fixed_names)
    with jax.enable_x64(True):
        curve = Curve(start, axis, asked, as_key(key), alpha, ddf)
    scenarios = [curve.scenario(value) for value in axis.values]
    trials = curve.run(scenarios, 0, n, progress)
    tables, notes = [], []
    for value, scenario, own in zip(axis.values, scenarios, trials, strict=False):
        table = power_table(own, asked, alpha)
        table.insert(0, "value", value)
        table.insert(1, "nobs", scenario.nobs)
        tables.append(table)
        notes += [f"{axis.name} {value}: {note}" for note in power_notes(own)]
    whole = pd.concat(tables, ignore_index=True)
    whole.attrs.update(along=axis.name, axis=axis.kind, ddf=ddf, alpha=alpha, notes=tuple(notes))
    return PowerCurve(axis.name, axis.kind, n, whole, curve)


def _axis(changes: dict[str, Any]) -> Axis:
    """Find the one number that is several."""
    found = [
        (kind, name)
        for kind, given in changes.items()
        if isinstance(given, Mapping)
        for name, value in given.items()
        if isinstance(value, Iterable) and not isinstance(value, str)
    ]
    if len(found) != 1:
        names = listed(name for _, name in found) or "none"
        raise DataError(
            f"Found several values of {names}; expected those of one, such as groups={{'subject': [10, 20]}}."
        )
    ((kind, name),) = found
    values = tuple(v.item() if isinstance(v, np.generic) else v for v in changes[kind][name])
    if not values or len(set(values)) < len(values):
        raise DataError(
            f"{name!r} has the values {listed(values) or 'none'}; expected at least one, and each once."
        )
    rest = {other: value for other, value in changes[kind].items() if other != name}
    return Axis(kind, name, values, {**changes, kind: rest})
