"""Profiles interpolated, and the contours of two parameters that follow from them.

On the scale of two zetas, tau_i and tau_j, a contour of level L is

    tau_i = L cos(a + d(a) / 2),     tau_j = L cos(a - d(a) / 2),

an ellipse if d is constant. The traces of the two profiles, the best tau_j for each tau_i and the reverse,
touch it where tau_i or tau_j is -/+ L; d is interpolated between these four points (Bates & Watts 1988,
Nonlinear Regression Analysis, appendix 6, doi:10.1002/9780470316757).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

APART = 1e-6  # radians between two points of a contour that would coincide


class Curve:
    """A profile, interpolated: zeta to value, value to zeta, and the trace of another parameter.

    Attributes
    ----------
    label
        Name of the parameter.
    zeta, value
        The points, both increasing.
    others
        Best values of every parameter at these points.
    """

    def __init__(self, label: str, points: pd.DataFrame):
        from scipy.interpolate import PchipInterpolator

        self.label, self.others = label, points
        self.zeta, self.value = points["zeta"].to_numpy(), points["value"].to_numpy()
        self._value = PchipInterpolator(self.zeta, self.value)
        self._zeta = PchipInterpolator(self.value, self.zeta)

    def to_value(self, zeta: Any, derivative: int = 0) -> np.ndarray:
        """Return the value at each zeta; beyond the ends, where the parameter is at its boundary, the end."""
        return self._value(np.clip(zeta, self.zeta[0], self.zeta[-1]), derivative)

    def trace(self, other: Curve) -> Callable[[float], float]:
        """Return zeta of another parameter's best value as a function of this parameter's zeta."""
        best = self.others[other.label].to_numpy()
        tau = other._zeta(np.clip(best, other.value[0], other.value[-1]))
        return lambda zeta: _straight_on(self.zeta, tau, zeta)


def _straight_on(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """Interpolate between points, and go straight on beyond them."""
    if x[0] <= at <= x[-1]:
        return float(np.interp(at, x, y))
    a, b = (0, 1) if at < x[0] else (-2, -1)
    return float(y[a] + (y[b] - y[a]) / (x[b] - x[a]) * (at - x[a]))


def contour(
    trace_i: Callable[[float], float], trace_j: Callable[[float], float], level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return tau_i and tau_j along a contour.

    Parameters
    ----------
    trace_i
        The best tau_j for a given tau_i; `trace_j` is the reverse.
    level
        The height L of the contour on the scale of zeta.
    """
    from scipy.interpolate import PchipInterpolator

    def phase(tau: float) -> float:
        return float(np.arccos(np.clip(tau / level, -1, 1)))

    right, top, left, bottom = (
        phase(trace(side * level)) for side in (1, -1) for trace in (trace_i, trace_j)
    )
    # phases of tau_i and tau_j where tau_i = L, tau_j = L, tau_i = -L, tau_j = -L
    of_i = np.array([0, top, np.pi, 2 * np.pi - bottom])
    of_j = np.array([-right, 0, left, np.pi])
    middle, difference = (of_i + of_j) / 2, of_i - of_j
    around = np.concatenate([middle + turn for turn in (-2 * np.pi, 0, 2 * np.pi)])
    apart = np.maximum.accumulate(around + APART * np.arange(len(around)))
    a = np.linspace(0, 2 * np.pi, 181)
    d = PchipInterpolator(apart, np.tile(difference, 3))(a)
    return level * np.cos(a + d / 2), level * np.cos(a - d / 2)
