"""Profiles of the likelihood: zeta of every parameter, and regions of every pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..frame._errors import DataError
from ..frame._profile import Profile
from ..frame._random import normal_quantile
from ..frame._result import LmerResult
from ._arguments import several_of
from ._canvas import BLUE, GREY, INK, ORANGE, several
from ._contour import Curve, contour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COVERAGES = (0.5, 0.8, 0.95)  # of the regions that contours enclose
FEWEST = 4  # points of a profile that can be interpolated


def profile_zeta(profile: Any, parm: Sequence[str] | None = None, axes: Any = None) -> np.ndarray:
    """Draw zeta of each parameter over its value: the straighter, the better a Wald interval.

    Dots are rows of `profile.points`. The thin line is the straight one that touches the curve at the
    estimate. Where zeta is -/+ 1.96 vertical lines mark the 95% interval.

    Parameters
    ----------
    profile
        What `fit.profile()` returned, or a fit, which is profiled first.
    parm
        Names of parameters; by default all whose profile has four points or more.
    axes
        One axes for each parameter; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.profile_zeta(fit.profile("fixed")).shape
    (2,)
    """
    curves = _curves(profile, parm)
    made = axes is None
    axes = several(axes, len(curves), 3, 2.5, 2.1, sharey=True)
    z = normal_quantile(0.05)
    for ax, (label, curve) in zip(axes, curves.items(), strict=True):
        zeta = np.linspace(curve.zeta[0], curve.zeta[-1], 121)
        ax.axhline(0, color=INK, lw=0.8)
        middle = int(np.argmin(np.abs(curve.zeta)))
        touch = (curve.value[middle], curve.zeta[middle])
        ax.axline(touch, slope=1 / float(curve.to_value(touch[1], 1)), color=GREY, lw=0.8, ls="--")
        ax.plot(curve.to_value(zeta), zeta, color=BLUE, lw=1.6)
        ax.plot(curve.value, curve.zeta, "o", color=BLUE, ms=2.5)
        for side in (-z, z):
            if curve.zeta[0] <= side <= curve.zeta[-1]:
                ax.vlines(curve.to_value(side), min(side, 0), max(side, 0), color=ORANGE, lw=1.4)
        ax.set_xlabel(label, fontsize="small")
        ax.set_ylabel("" if made and not ax.get_subplotspec().is_first_col() else "zeta")
        ax.set_ylim(-2.9, 2.9)
        ax.tick_params(labelsize="small")
        ax.locator_params(axis="x", nbins=4)
    return axes


def profile_pairs(profile: Any, parm: Sequence[str] | None = None, axes: Any = None) -> np.ndarray:
    """Draw 50, 80 and 95% regions of every pair of parameters, and their profile traces.

    The regions are those of a likelihood ratio test with two degrees of freedom, interpolated between the
    points where traces touch them. The solid trace is the best value of the vertical parameter for each
    value of the horizontal one, the dashed trace the reverse.

    Parameters
    ----------
    profile
        What `fit.profile()` returned, or a fit, which is profiled first.
    parm
        Names of two parameters or more; by default all whose profile has four points or more.
    axes
        One axes for each pair, (2, 1), (3, 1), (3, 2), ...; by default a new figure.

    References
    ----------
    Bates & Watts (1988), Nonlinear Regression Analysis and Its Applications, doi:10.1002/9780470316757.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.profile_pairs(fit.profile("fixed")).shape
    (1,)
    """
    curves = _curves(profile, parm)
    labels = list(curves)
    if len(labels) < 2:
        found = repr(labels[0]) if labels else "none"
        raise DataError(f"The parameters to be drawn are {found}; expected two or more, to make a pair.")
    pairs = [(i, j) for i in range(1, len(labels)) for j in range(i)]
    made = axes is None
    axes = _triangle(len(labels) - 1) if made else several(axes, len(pairs), 1)
    for ax, (i, j) in zip(axes, pairs, strict=True):
        across, up = curves[labels[j]], curves[labels[i]]
        for coverage in COVERAGES:
            level = np.sqrt(-2 * np.log(1 - coverage))  # of chi-square with two degrees of freedom
            tau_across, tau_up = contour(across.trace(up), up.trace(across), level)
            ax.plot(across.to_value(tau_across), up.to_value(tau_up), color=BLUE, lw=1.2)
        ax.plot(across.value, across.others[up.label], color=GREY, lw=0.9)
        ax.plot(up.others[across.label], up.value, color=GREY, lw=0.9, ls="--")
        _name(ax, labels[j], labels[i])
        if made:
            ax.label_outer()
    return axes


def _curves(profile: Any, parm: Sequence[str] | None) -> dict[str, Curve]:
    profile = profile.profile() if isinstance(profile, LmerResult) else profile
    if not isinstance(profile, Profile):
        raise DataError(
            f"profile is of type {type(profile).__name__}; expected what fit.profile() returns, or a fit."
        )
    known = {str(label): _rising(rows) for label, rows in profile.points.groupby("parameter", sort=False)}
    enough = [label for label, points in known.items() if len(points) >= FEWEST]
    wanted = enough if parm is None else several_of("parm", parm, list(known))
    for label in wanted:
        if label not in enough:
            raise DataError(
                f"The profile of {label!r} has {len(known[label])} points within its range; expected "
                f"{FEWEST} or more, so leave it out."
            )
    return {label: Curve(label, known[label]) for label in wanted}


def _rising(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points that were found, in order, each but once."""
    good = points[np.isfinite(points["zeta"])].sort_values("zeta")
    rises = (np.diff(good["value"]) > 0) & (np.diff(good["zeta"]) > 0)
    return good[np.append(True, rises)] if len(good) else good


def _triangle(size: int) -> np.ndarray:
    """Return the axes of the lower triangle of a new figure, row by row."""
    grid = several(None, size * size, size, 1.75, 1.6, sharex="col", sharey="row").reshape(size, size)
    for ax in grid[np.triu_indices(size, 1)]:
        ax.remove()
    return grid[np.tril_indices(size)]


def _name(ax: Axes, across: str, up: str) -> None:
    ax.set_xlabel(across.replace(" | ", "\n| "), fontsize="small")
    ax.set_ylabel(up.replace(" | ", "\n| "), fontsize="small")
    ax.tick_params(labelsize="x-small")
    ax.locator_params(nbins=3)
