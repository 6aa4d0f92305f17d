"""Profiles of the likelihood: every parameter in turn, from one end of what the data allow to the other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_choice, check_count
from ._errors import DataError
from ._estimate import curvature, fit_and_read, profile_points
from ._fitted import FittedModel
from ._labels import chosen, parameter_labels
from ._random import normal_quantile

MOST_PARAMETERS = 20  # elements of theta: beyond, forming Hessians costs more than it tells
ALPHA_MAX = 0.01  # coverage of the widest point, as in lme4
CORNER = -1e3  # a zeta no profile reaches: the search ends where a standard deviation is zero
STATUSES = np.array(["found", "boundary", "failed"])  # `core.FOUND`, `core.AT_END`, `core.FAILED`


class Prepared(NamedTuple):
    """The maximum likelihood fit, and what it takes to hold each parameter.

    Attributes
    ----------
    labels, kinds
        Name and kind ("sd", "cor", "sigma", "beta") of each parameter.
    held
        The parameters as constraints, one along the first axis for each.
    estimates, lowest
        The maximum likelihood estimates and their deviance.
    stats
        Sufficient statistics.
    """

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    held: core.Constraint
    estimates: np.ndarray
    lowest: float
    stats: core.SuffStats


def prepare(fit: FittedModel) -> Prepared:
    """Fit by maximum likelihood, if that is not done yet, and describe the parameters."""
    stats = fit.stats
    if len(fit.theta) > MOST_PARAMETERS:
        raise DataError(
            f"The model has {len(fit.theta)} relative covariance parameters; profiles need at most "
            f"{MOST_PARAMETERS}, so use conf_int(method='wald'), or fewer random effects."
        )
    best, _, fixed = fit_and_read(stats, reml=False) if fit.reml else (fit.optimum, None, fit._estimates)
    theta = best.theta
    fixed = core.estimates(theta, stats, reml=False) if fixed is None else fixed
    held = core.constraints(theta, stats, curvature(theta, stats))
    random = core.standard_deviations(theta, fixed.sigma, stats.blocks)
    return Prepared(
        *parameter_labels(fit.frame, "sdcor"),
        jax.tree.map(lambda *leaves: np.stack(leaves), *held),
        np.concatenate([random, fixed.beta]),
        float(fixed.criterion),
        stats,
    )


class Found(NamedTuple):
    """Points of profiles, an element or a row for each.

    Attributes
    ----------
    parameter
        Place of the parameter held.
    zeta
        What was reached.
    status
        "found", "boundary" or "failed".
    values
        The best value of every parameter there, shape (points, parameters).
    """

    parameter: np.ndarray
    zeta: np.ndarray
    status: np.ndarray
    values: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """Value of the parameter held."""
        return self.values[np.arange(len(self.parameter)), self.parameter]


def run(prepared: Prepared, parameter: np.ndarray, zeta: np.ndarray) -> Found:
    """Find where the profile of each of some parameters, given by their places, reaches a value of zeta."""
    n, corners = len(parameter), _beside_correlations(prepared)
    every = np.concatenate([parameter, np.array(corners, int)])
    targets = np.concatenate([zeta, np.full(len(corners), CORNER)])
    held = jax.tree.map(lambda leaf: leaf[every], prepared.held)
    points = profile_points(held, targets, prepared.lowest, prepared.stats)
    height = dict(zip(corners, -points.zeta[n:], strict=True))
    found = Found(parameter, points.zeta[:n].copy(), STATUSES[points.status[:n]], points.values[:n].copy())
    for i, place in enumerate(parameter):
        if prepared.kinds[place] == "cor":
            ceiling, side = min(height[j] for j in _deviations_of(prepared, place)), np.sign(zeta[i])
            if ceiling <= abs(zeta[i]):
                found.status[i], found.zeta[i], found.values[i, place] = "boundary", side * ceiling, side
        if found.status[i] == "failed":
            found.zeta[i] = found.values[i, place] = np.nan
    return found


def _deviations_of(prepared: Prepared, correlation: int) -> tuple[int, int]:
    """Return the positions of the two standard deviations of a correlation."""
    row, column = core.variance_positions(prepared.stats.blocks)
    return int(row[correlation]), int(column[correlation])


def _beside_correlations(prepared: Prepared) -> list[int]:
    pairs = [_deviations_of(prepared, i) for i, kind in enumerate(prepared.kinds) if kind == "cor"]
    return sorted({i for pair in pairs for i in pair})


@dataclass(frozen=True, repr=False)
class Profile:
    """Profiles of the likelihood.

    Attributes
    ----------
    points
        One row a point: `parameter`, `zeta`, `value`, `status`, and a column with every parameter's best
        value there. zeta would be standard normal if the parameter were normal: a straight line of zeta
        over value means that Wald intervals will do. A model fitted by REML is fitted by maximum likelihood
        first, as in lme4.
    """

    points: pd.DataFrame
    _prepared: Prepared = field(repr=False)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the limits at which zeta is -/+ the normal quantile, solved for, not interpolated."""
        return profile_intervals(self._prepared, list(dict.fromkeys(self.points["parameter"])), alpha)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `points`."""
        return self.points.copy()

    def __repr__(self) -> str:
        shown = self.points[["parameter", "zeta", "value", "status"]].to_string(index=False)
        return f"Profile by maximum likelihood\n{shown}"


def profile(fit: FittedModel, parm: str, points: int) -> Profile:
    """Profile some parameters at `points` values of zeta on either side of the estimate."""
    check_choice("parm", parm, ("fixed", "random", "all"))
    check_count("points", points)
    prepared = prepare(fit)
    wanted = chosen(prepared.labels, prepared.kinds, parm)
    widest = normal_quantile(ALPHA_MAX)
    zetas = np.linspace(-widest, widest, 2 * points + 1)
    zetas = zetas[zetas != 0]
    places = np.array([prepared.labels.index(label) for label in wanted])
    found = run(prepared, np.repeat(places, len(zetas)), np.tile(zetas, len(places)))
    peaks = Found(
        places,
        np.zeros(len(places)),
        np.full(len(places), "found"),
        np.tile(prepared.estimates, (len(places), 1)),
    )
    table = pd.concat([_table(prepared, found), _table(prepared, peaks)])
    table = table.drop_duplicates(["parameter", "zeta", "status"])
    order = np.lexsort((table["zeta"], table["parameter"].map(wanted.index)))
    return Profile(table.iloc[order].reset_index(drop=True), prepared)


def _table(prepared: Prepared, found: Found) -> pd.DataFrame:
    """Return a row for each point, with a column for the best value of every parameter."""
    labels = np.array(prepared.labels, object)[found.parameter]
    own = {"parameter": labels, "zeta": found.zeta, "value": found.value, "status": found.status}
    return pd.DataFrame(own | dict(zip(prepared.labels, found.values.T, strict=True)))


def profile_intervals(prepared: Prepared, wanted: list[str], alpha: float) -> pd.DataFrame:
    """Return profile limits of some parameters, with notes on those at a boundary."""
    z = normal_quantile(alpha)
    places = np.array([prepared.labels.index(label) for label in wanted])
    found = run(prepared, np.repeat(places, 2), np.tile([-z, z], len(places)))
    ends = found.value.reshape(-1, 2)
    table = pd.DataFrame({"conf_low": ends[:, 0], "conf_high": ends[:, 1]}, index=wanted)
    table.attrs["notes"] = tuple(_boundary_notes(wanted, ends, found.status.reshape(-1, 2)))
    return table


def _boundary_notes(wanted: list[str], ends: np.ndarray, statuses: np.ndarray) -> Iterator[str]:
    for label, limits, status in zip(wanted, ends, statuses, strict=True):
        if "failed" in status:
            yield f"{label}: the profile could not be followed, so that a limit is missing."
        elif "boundary" in status:
            at = " and ".join(f"{value:g}" for value in limits[status == "boundary"])
            yield f"{label} reaches the boundary of its range, {at}, within the interval."
