"""Models and the data they are fitted to: those of the package, and simulated ones of many fits."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ._ratings import SHAPES, ratings
from .engines._base import parts

FEW = 60  # levels, up to which their order is handed over
ROWS, GROUPS, RESPONSES = 1000, 100, 20_000
SETS = 2000


@dataclass(frozen=True)
class Model:
    """A formula and data; `case` names the reference results, in tests/reference or in truths.json."""

    name: str
    formula: str
    case: str = ""
    make: Callable[[], tuple[pd.DataFrame, np.ndarray | None]] | None = None

    def write(self, folder: Path) -> tuple[Path, str]:
        """Write the data as every worker reads them; return where, and what its factors are."""
        frame, responses = self.make() if self.make else (_dataset(self.name), None)
        path = folder / f"{self.name}.csv"
        frame.to_csv(path, index=False)
        if responses is not None:
            np.ascontiguousarray(responses, float).tofile(path.with_suffix(".bin"))
        return path, ";".join(_factor(frame[name]) for name in frame if _is_factor(frame[name], self.formula))


def _dataset(name: str) -> pd.DataFrame:
    import jaxmixed as jm

    return jm.datasets.load(name)


def _is_factor(column: pd.Series, formula: str) -> bool:
    grouping = {name for _, group in parts(formula)[1] for name in group.split(":")}
    return isinstance(column.dtype, pd.CategoricalDtype) or column.name in grouping


def _factor(column: pd.Series) -> str:
    levels = list(column.astype("category").cat.categories)
    return f"{column.name}={','.join(map(str, levels)) if len(levels) <= FEW else ''}"


def _responses() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=ROWS), "g": np.repeat(np.arange(GROUPS), ROWS // GROUPS)})
    effects = rng.normal(size=(2, RESPONSES, GROUPS))[:, :, data["g"]] * np.array([0.5, 0.3])[:, None, None]
    Y = rng.normal(size=(RESPONSES, ROWS)) + effects[0] + effects[1] * data["x"].to_numpy()
    return data.assign(y=Y[0]), Y


def _sets() -> tuple[pd.DataFrame, None]:
    """Simulate data sets of 8 to 12 groups of 3 to 6 rows."""
    rng = np.random.default_rng(1)
    frames = []
    for k in range(SETS):
        sizes = rng.integers(3, 7, size=rng.integers(8, 13))
        g = np.repeat(np.arange(len(sizes)), sizes)
        x = rng.normal(size=len(g))
        y = 1 + 0.5 * x + 0.7 * rng.normal(size=len(sizes))[g] + rng.normal(size=len(g))
        frames.append(pd.DataFrame({"y": y, "x": x, "g": g, "set": k}))
    return pd.concat(frames, ignore_index=True), None


def _ratings() -> tuple[pd.DataFrame, None]:
    return ratings(*SHAPES["1M"], seed=0).frame(), None


def _nothing() -> tuple[pd.DataFrame, None]:
    return pd.DataFrame({"y": []}), None


SLEEPSTUDY = Model("sleepstudy", "Reaction ~ Days + (Days | Subject)", "sleep_slope")
GPA = Model("gpa", "gpa ~ occasion + (1 | student)", "gpa")
ORTHODONT = Model("Orthodont", "distance ~ age * Sex + (age | Subject)", "orthodont")
PASTES = Model("Pastes", "strength ~ 1 + (1 | batch/cask)", "pastes")
PENICILLIN = Model("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin")
# Here Kenward and Roger's degrees of freedom are not Satterthwaite's: balanced designs tell no difference.
CAKE = Model("cake", "angle ~ recipe + temp + (recipe | replicate)", "cake_factor_slope")
INSTEVAL = Model("InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", "insteval")
INTERCEPTS = Model("intercepts", "y ~ x + (1 | g)", "intercepts", _responses)
SLOPES = Model("slopes", "y ~ x + (x | g)", "slopes", _responses)
MANY_SETS = Model("data sets", "y ~ x + (1 | g)", "sets", _sets)

RATINGS = Model("ratings", "y ~ 1 + (1 | user) + (1 | item)", "ratings", _ratings)
STREAM = Model("stream", "y ~ x1 + x2 + (1 + x1 | g)", make=_nothing)


def truths() -> dict[str, dict]:
    """Return the reference results that are not in tests/reference."""
    return json.loads((Path(__file__).parent / "truths.json").read_text())
