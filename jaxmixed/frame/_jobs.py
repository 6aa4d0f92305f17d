"""From statistics of many models to a table of their fits."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jax.sharding import Mesh

from jaxmixed import core

from ._fit_lanes import Lanes, fit_lanes
from ._many import CONVERGED, STATISTICS, FitMany


class Names(NamedTuple):
    """What the parameters of a fit are called: fixed effects, and the rest in the order of `sdcor`.

    `aliased` names the columns of X left out as linear combinations of others.
    """

    terms: tuple[str, ...]
    variances: tuple[str, ...]
    aliased: tuple[str, ...] = ()


class Job(NamedTuple):
    """One model and its data, ready to be fitted; `row` is its place in the tables."""

    row: int
    stats: core.SuffStats
    names: Names


class Fitted(NamedTuple):
    """Fits with the same names, and their rows in the tables."""

    rows: np.ndarray
    lanes: Lanes
    names: Names


class Rows(NamedTuple):
    """What is known of the rows of a table before anything is fitted.

    Attributes
    ----------
    index
        Names of the responses or data sets.
    nobs, n_dropped
        Rows of data to be fitted, and those left out for missing values.
    refused
        Why some of them cannot be fitted, by row.
    """

    index: pd.Index
    nobs: np.ndarray
    n_dropped: np.ndarray
    refused: Mapping[int, str]


def fit_jobs(jobs: Sequence[Job], reml: bool, ddf: str, mesh: Mesh | None = None) -> list[Fitted]:
    """Fit models one by one different, those of one shape in a batch."""
    fitted = []
    for stack in core.stack([job.stats for job in jobs]):
        lanes = fit_lanes(stack.stats, None, reml, ddf, mesh)
        by_names: dict[Names, list[int]] = {}
        for lane, i in enumerate(stack.index):
            by_names.setdefault(jobs[i].names, []).append(lane)
        for names, some in by_names.items():
            rows = np.array([jobs[i].row for i in stack.index[some]])
            fitted.append(Fitted(rows, jax.tree.map(lambda part, some=some: part[some], lanes), names))
    return fitted


def tabulate(
    rows: Rows, fitted: Sequence[Fitted], names: Names, formula: str, reml: bool, ddf: str
) -> FitMany:
    """Put fits in their rows; columns are those of `names`, and after them any that only some fits have."""
    terms = tuple(dict.fromkeys([*names.terms, *(t for f in fitted for t in f.names.terms)]))
    *variances, sigma = dict.fromkeys(
        [*names.variances[:-1], *(v for f in fitted for v in f.names.variances[:-1]), names.variances[-1]]
    )
    tables = {name: np.full((len(rows.index), len(terms)), np.nan) for name in STATISTICS}
    sdcor = np.full((len(rows.index), len(variances) + 1), np.nan)
    theta, criterion = sdcor[:, :-1].copy(), sdcor[:, -1].copy()
    singular, status = np.zeros(len(rows.index), bool), np.empty(len(rows.index), object)
    for at, lanes, own in fitted:
        columns = np.array([terms.index(term) for term in own.terms], int)
        for name, field in STATISTICS.items():
            tables[name][np.ix_(at, columns)] = getattr(lanes, field)
        columns = np.array([variances.index(label) for label in own.variances[:-1]])
        sdcor[np.ix_(at, np.append(columns, len(variances)))] = lanes.sdcor
        theta[np.ix_(at, columns)] = lanes.theta
        criterion[at], singular[at] = lanes.criterion, lanes.singular
        status[at] = lanes.status
        if own.aliased:
            note = f"{CONVERGED}: left out {', '.join(own.aliased)}"
            status[at] = np.where(status[at] == CONVERGED, note, status[at])
    for row, reason in rows.refused.items():
        status[row] = reason
    relative = ["theta" + label[label.index("(") :] for label in variances]

    def frame(values: np.ndarray, columns: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame(values, rows.index, pd.Index(columns, dtype=object))

    def series(values: np.ndarray, name: str) -> pd.Series:
        return pd.Series(values, rows.index, name=name)

    return FitMany(
        formula,
        reml,
        ddf,
        **{name: frame(values, terms) for name, values in tables.items()},
        varcorr=frame(sdcor, [*variances, sigma]),
        theta=frame(theta, relative),
        criterion=series(criterion, "criterion"),
        nobs=series(rows.nobs, "nobs"),
        n_dropped=series(rows.n_dropped, "n_dropped"),
        singular=series(singular, "singular"),
        status=series(status, "status"),
    )
