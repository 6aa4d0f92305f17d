"""Time and memory against rows, groups, patterns, replicates and crossed levels, and the picture of it."""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._models import SLEEPSTUDY
from ._process import OWN, Worker
from ._table import Table, number

FIT_TO = 3  # largest sizes, which the exponents are fitted to


@dataclass(frozen=True)
class Axis:
    """What grows, in words what stays, and the sizes."""

    name: str
    words: str
    sizes: tuple[int, ...]


AXES = (
    Axis("rows", "lmer(), 100 groups, random intercept", (1_000, 10_000, 100_000, 1_000_000, 10_000_000)),
    Axis(
        "groups", "lmer(), 5 rows each, the same covariate in all", (100, 1_000, 10_000, 100_000, 1_000_000)
    ),
    Axis("patterns", "lmer(), groups of 5 rows, covariates of their own", (100, 1_000, 10_000, 100_000)),
    Axis("replicates", "parametric bootstrap of sleepstudy", (1_000, 10_000, 100_000, 1_000_000)),
    Axis("crossed levels", "lmer(), two factors of as many, 20 rows a level", (30, 100, 300, 1_000, 2_000)),
)


@dataclass(frozen=True)
class Curve:
    """Seconds and MiB at each size, and the exponents of both over the largest sizes."""

    axis: Axis
    sizes: np.ndarray
    seconds: np.ndarray
    memory: np.ndarray

    def exponent(self, of: np.ndarray) -> float:
        """Return the slope of a line through the logarithms."""
        last = slice(-FIT_TO, None)
        if not np.isfinite(of[last]).all():
            return math.nan
        return float(np.polyfit(np.log(self.sizes[last]), np.log(of[last]), 1)[0])


def scaling(start: tuple[list[str], dict[str, str]], folder: Path, limit: float) -> list[Curve]:
    """Measure every axis, each in a process of its own, from small to large."""
    path, factors = SLEEPSTUDY.write(folder)
    curves = []
    for axis in AXES:
        worker, points = Worker(OWN, *start), []
        worker.ask("load", path, SLEEPSTUDY.formula, factors)
        for size in axis.sizes:
            worker.forget_peak()
            task = f"scale-{axis.name.replace(' ', '-')}"
            worker.ask("time", task, 0, size, limit=limit)  # compiles
            found = worker.ask("time", task, 0.5, size, limit=limit)
            if "error" in found:
                break
            points.append((size, statistics.median(found["seconds"]), worker.peak() or math.nan))
        worker.close()
        curves.append(Curve(axis, *(np.array(column, float) for column in zip(*points, strict=True))))
    return curves


def table(curves: list[Curve]) -> Table:
    rows = []
    for curve in curves:
        values = (curve.sizes[-1], curve.seconds[0], curve.seconds[-1])
        slopes = (curve.exponent(curve.seconds), curve.exponent(curve.memory))
        span = f"{curve.sizes[0]:,.0f} to {values[0]:,.0f}"
        times = f"{number(1e3 * values[1])} to {number(1e3 * values[2])}"
        memory = f"{curve.memory[0]:.0f} to {curve.memory[-1]:.0f}"
        rows.append((f"{curve.axis.name}: {curve.axis.words}", span, times, *map(number, slopes), memory))
    header = ("what grows", "from .. to", "ms", "exponent of time", "exponent of memory", "MiB")
    notes = (
        f"Exponents: slopes of the logarithms over the {FIT_TO} largest sizes. Memory is the peak of the "
        "process, Python and libraries with it, the making of the data too.",
    )
    return Table("Scaling", header, rows, notes)


def draw(curves: list[Curve], path: Path) -> None:
    """Draw time above memory, one column for each axis, both scales logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(2.3 * len(curves), 4.4), layout="constrained")
    axes = figure.subplots(2, len(curves), sharex="col")
    for column, curve in enumerate(curves):
        for row, (values, unit) in enumerate(((curve.seconds, "seconds"), (curve.memory, "MiB"))):
            panel = axes[row, column]
            panel.loglog(curve.sizes, values, "o-", color="#35618e", markersize=3.5, linewidth=1)
            slope = curve.exponent(values)
            if math.isfinite(slope):
                panel.text(0.06, 0.9, f"exponent {slope:.2f}", transform=panel.transAxes, fontsize=8)
            low = np.min(values)
            panel.set_ylim(low / 3, 10 * max(np.max(values), 3 * low))
            for direction in (panel.xaxis, panel.yaxis):
                direction.set_minor_formatter(NullFormatter())
            panel.tick_params(labelsize=7)
            panel.grid(alpha=0.25, linewidth=0.5)
            if column == 0:
                panel.set_ylabel(unit, fontsize=8)
        axes[1, column].set_xlabel(curve.axis.name, fontsize=8)
    figure.savefig(path, dpi=100)
