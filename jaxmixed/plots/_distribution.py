"""How values are distributed: their density, and their quantiles beside the normal ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._canvas import BLUE, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def density(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points and the Gaussian kernel density of values there, by Scott's rule.

    Equal values have none: a triangle stands for the spike.
    """
    from scipy.stats import gaussian_kde

    if np.ptp(values) == 0:
        return np.array([low, values[0], high]), np.array([0.0, 1.0, 0.0])
    x = np.linspace(low, high, 201)
    return x, gaussian_kde(values)(x)


def normal_quantiles(n: int) -> np.ndarray:
    """Return the normal quantiles of n ordered values, at (i - 1/2) / n."""
    from scipy.special import ndtri

    return ndtri((np.arange(n) + 0.5) / n)


def qq(ax: Axes, values: np.ndarray, label: str) -> None:
    """Draw ordered values over normal quantiles, and the line through their quartiles."""
    ordered = np.sort(values)
    x = normal_quantiles(len(ordered))
    ax.plot(x, ordered, "o", color=BLUE, ms=3.5, mfc="none")
    quartiles, z = np.quantile(ordered, [0.25, 0.75]), normal_quantiles(2)
    slope = (quartiles[1] - quartiles[0]) / (z[1] - z[0])
    ax.axline((0, quartiles.mean()), slope=slope, color=INK, lw=1, ls="--")
    ax.set(xlabel="Normal quantile", ylabel=label)
