"""Data of any size for the scaling curves, as calls that fit them."""

from collections.abc import Callable

import numpy as np
import pandas as pd

import jaxmixed as jm

ROWS_EACH, GROUPS = 5, 100


def rows(n: int) -> Callable[[], object]:
    return _fit(np.arange(n) % GROUPS, np.arange(n) // GROUPS % 7, "y ~ x + (1 | g)")


def groups(n: int) -> Callable[[], object]:
    return _fit(np.repeat(np.arange(n), ROWS_EACH), np.tile(np.arange(ROWS_EACH), n), "y ~ x + (x | g)")


def patterns(n: int) -> Callable[[], object]:
    x = np.random.default_rng(2).normal(size=n * ROWS_EACH)
    return _fit(np.repeat(np.arange(n), ROWS_EACH), x, "y ~ x + (x | g)")


def crossed_levels(n: int) -> Callable[[], object]:
    rng = np.random.default_rng(3)
    g, h = np.repeat(np.arange(n), 20), rng.permutation(np.repeat(np.arange(n), 20))
    y = 0.7 * rng.normal(size=n)[g] + 0.7 * rng.normal(size=n)[h] + rng.normal(size=len(g))
    data = pd.DataFrame({"y": y, "g": g, "h": h})
    return lambda: jm.lmer("y ~ 1 + (1 | g) + (1 | h)", data).bse


def _fit(g: np.ndarray, x: np.ndarray, formula: str) -> Callable[[], object]:
    rng = np.random.default_rng(1)
    b = rng.normal(size=(g.max() + 1, 2)) * [0.7, 0.5 if "(x" in formula else 0.0]
    data = pd.DataFrame({"y": b[g, 0] + (0.5 + b[g, 1]) * x + rng.normal(size=len(g)), "x": x, "g": g})
    return lambda: jm.lmer(formula, data).bse
