"""Bootstrap replicates as densities, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmixed import core

from ..frame._bootstrap import Bootstrap
from ..frame._bootstrap_intervals import Method
from ..frame._errors import DataError
from ._arguments import several_of
from ._canvas import BLUE, INK, ORANGE, several
from ._distribution import density


def bootstrap_density(
    boot: Any,
    parm: Sequence[str] | None = None,
    alpha: float = 0.05,
    method: Method = "percentile",
    axes: Any = None,
) -> np.ndarray:
    """Draw the density of the converged replicates of each parameter, the estimate and an interval.

    The interval, the bar below the density, is that of `boot.conf_int(alpha, method)`.

    Parameters
    ----------
    boot
        What `fit.bootstrap` returned.
    parm
        Names of parameters; by default all.
    alpha, method
        As in `boot.conf_int`.
    axes
        One axes for each parameter; by default a new figure.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))
    >>> jm.plots.bootstrap_density(fit.bootstrap(200, key=1)).shape
    (4,)
    """
    if not isinstance(boot, Bootstrap):
        raise DataError(f"boot is of type {type(boot).__name__}; expected what fit.bootstrap returns.")
    limits = boot.conf_int(alpha, method)
    replicates = boot.to_frame()
    replicates = replicates[replicates["status"] == core.RESULTS[0]]
    known = list(limits.index)
    wanted = known if parm is None else several_of("parm", parm, known)
    axes = several(axes, len(wanted), 3, 2.5, 1.9)
    for ax, label in zip(axes, wanted, strict=True):
        values = replicates[label].dropna().to_numpy()
        x, height = density(values, values.min(), values.max())
        ax.fill_between(x, height, color=BLUE, alpha=0.2, lw=0)
        ax.plot(x, height, color=BLUE, lw=1.5)
        ax.axvline(boot.estimates[label], color=INK, lw=1, ls="--")
        ax.hlines(-0.07 * height.max(), *limits.loc[label], color=ORANGE, lw=3.5)
        ax.set_ylim(-0.14 * height.max(), 1.08 * height.max())
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(label, fontsize="small")
        ax.tick_params(labelsize="small")
        ax.locator_params(axis="x", nbins=5)
    return axes
