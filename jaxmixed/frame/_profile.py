"""Profiles of the likelihood: every parameter in turn, from one end of what the data allow to the other."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from jaxmixed import core

from ._check import check_choice, check_count
from ._errors import DataError
from ._estimate import curvature, estimate, profile_points
from ._fitted import FittedModel
from ._labels import chosen, parameter_labels
from ._random import normal_quantile

MOST_PARAMETERS = 20  # elements of theta: beyond, forming Hessians costs more than it tells
ALPHA_MAX = 0.01  # coverage of the widest point, as in lme4
CORNER = -1e3  # a zeta no profile reaches: the search ends where a standard deviation is zero


class Prepared(NamedTuple):
    """The maximum likelihood fit, and what it takes to hold each parameter.

    Attributes
    ----------
    labels, kinds
        Name and kind ("sd", "cor", "sigma", "beta") of each parameter.
    held
        The parameter as a constraint.
    estimates, lowest
        The maximum likelihood estimates and their deviance.
    stats
        Sufficient statistics.
    """

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    held: list[core.Constraint]
    estimates: list[float]
    lowest: float
    stats: core.SuffStats


def prepare(fit: FittedModel) -> Prepared:
    """Fit by maximum likelihood, if that is not done yet, and describe the parameters."""
    if len(fit.theta) > MOST_PARAMETERS:
        raise DataError(
            f"The model has {len(fit.theta)} relative covariance parameters; profiles need at most "
            f"{MOST_PARAMETERS}, so use conf_int(method='wald'), or fewer random effects."
        )
    theta = estimate(fit.stats, reml=False).theta if fit.reml else fit.theta
    labels, kinds = parameter_labels(fit.frame, "sdcor")
    curved, fixed = curvature(theta, fit.stats), core.estimates(theta, fit.stats, reml=False)
    random = core.on_scale(
        core.variance_parameters(theta, fit.stats, False, curved), fit.stats.blocks, "sdcor"
    )
    held = core.constraints(theta, fit.stats, curved)
    estimates = [*random.values.tolist(), *fixed.beta.tolist()]
    return Prepared(labels, kinds, held, estimates, float(fixed.criterion), fit.stats)


class Lane(NamedTuple):
    """A point asked for: which parameter, and the value of zeta."""

    parameter: int
    zeta: float


def run(prepared: Prepared, lanes: list[Lane]) -> pd.DataFrame:
    """Find the points of profiles that were asked for.

    Returns
    -------
    pandas.DataFrame
        For each lane `parameter`, `zeta` (that reached), `value`, `status` ("found", "boundary" or
        "failed"), and a column with every parameter's estimate, given this one.
    """
    corners = [Lane(i, CORNER) for i in _beside_correlations(prepared)]
    every = [*lanes, *corners]
    held = jax.tree.map(lambda *leaves: np.stack(leaves), *(prepared.held[lane.parameter] for lane in every))
    targets = np.array([lane.zeta for lane in every])
    points = profile_points(held, targets, prepared.lowest, prepared.stats)
    height = {lane.parameter: -points.zeta[len(lanes) + i] for i, lane in enumerate(corners)}
    rows = []
    for i, lane in enumerate(lanes):
        point = jax.tree.map(lambda leaf, i=i: leaf[i], points)
        rows.append(_row(prepared, lane, point, height))
    return pd.DataFrame(rows)


def _row(prepared: Prepared, lane: Lane, point: core.Point, height: dict[int, float]) -> dict[str, Any]:
    label, kind = prepared.labels[lane.parameter], prepared.kinds[lane.parameter]
    status = {core.FOUND: "found", core.AT_END: "boundary"}.get(int(point.status), "failed")
    value, zeta = float(point.values[lane.parameter]), float(point.zeta)
    if kind == "cor":
        ceiling = min(height[i] for i in _deviations_of(prepared, lane.parameter))
        if ceiling <= abs(lane.zeta):
            status, value, zeta = "boundary", float(np.sign(lane.zeta)), float(np.sign(lane.zeta)) * ceiling
    if status == "failed":
        value, zeta = np.nan, np.nan
    others = dict(zip(prepared.labels, point.values.tolist(), strict=True)) | {label: value}
    return {"parameter": label, "zeta": zeta, "value": value, "status": status} | others


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
    places = [prepared.labels.index(label) for label in wanted]
    found = run(prepared, [Lane(i, float(z)) for i in places for z in zetas if z])
    peaks = [
        {"parameter": label, "zeta": 0.0, "value": prepared.estimates[i], "status": "found"}
        | dict(zip(prepared.labels, prepared.estimates, strict=True))
        for i, label in zip(places, wanted, strict=True)
    ]
    table = pd.concat([found, pd.DataFrame(peaks)]).drop_duplicates(["parameter", "zeta", "status"])
    order = np.lexsort((table["zeta"], table["parameter"].map(wanted.index)))
    return Profile(table.iloc[order].reset_index(drop=True), prepared)


def profile_intervals(prepared: Prepared, wanted: list[str], alpha: float) -> pd.DataFrame:
    """Return profile limits of some parameters, with notes on those at a boundary."""
    z = normal_quantile(alpha)
    places = [prepared.labels.index(label) for label in wanted]
    found = run(prepared, [Lane(i, side * z) for i in places for side in (-1, 1)])
    ends = found["value"].to_numpy().reshape(-1, 2)
    table = pd.DataFrame({"conf_low": ends[:, 0], "conf_high": ends[:, 1]}, index=wanted)
    table.attrs["notes"] = _boundary_notes(found)
    return table


def _boundary_notes(found: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    for label, rows in found.groupby("parameter", sort=False):
        statuses = rows["status"].tolist()
        if "failed" in statuses:
            notes.append(f"{label}: the profile could not be followed, so that a limit is missing.")
        elif "boundary" in statuses:
            at = " and ".join(f"{value:g}" for value in rows.loc[rows["status"] == "boundary", "value"])
            notes.append(f"{label} reaches the boundary of its range, {at}, within the interval.")
    return tuple(notes)
