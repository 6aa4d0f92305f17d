"""What the answers must be, and whether one is.

Data sets of the package have reference results in tests/reference. truths.json has those that are not there,
as lme4 finds them: `python -m benchmarks._truth` writes it.
"""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ._models import GPA, INTERCEPTS, MANY_SETS, SLEEPSTUDY, SLOPES, Model, truths
from .engines._base import BETA, FIRST, LEVEL, ROOT, SIGMA, SIZES

CASES = Path(__file__).parents[1] / "tests" / "reference" / "cases"
# Largest accepted difference of each quantity, in the unit that `_difference` measures it in.
LIMITS = {
    "criterion": 1e-3,  # deviance
    "criteria": 1e-3,
    "beta": 1e-3,  # standard errors
    "se": 1e-3,  # relative
    "df": 1e-2,
    "limits": 1e-2,  # widths of the interval
    "gradient": 1e-3,  # of the largest element
    "width": 3e-2,
    "boot_se": 5.0,  # Monte Carlo standard errors
    "rejected": 5.0,
    "off": 5.0,  # standard errors from the simulated truth
}


@dataclass(frozen=True)
class Verdict:
    """Whether an answer counts, its differences in words, and what is wrong with it."""

    right: bool
    difference: str
    wrong: str


def truth(model: Model, task: str) -> dict[str, Any]:
    """Return what a task must find, by quantity."""
    if task == "power":
        return {"rejected": exact_power()}
    if task in ("stream", "crossed"):
        return {"off": 0.0}
    other = truths()
    if task in ("responses", "sets"):
        return other[model.case]
    if task == "refit":
        return other[f"{model.case} other"]
    if model.case in other:
        return _bootstrapped(other[model.case], task)
    raw = json.loads((CASES / f"{model.case}.json").read_text())
    fit = raw["fits"]["REML"]
    names = raw["fixef_names"]
    found = {"criterion": fit["criterion"], "beta": fit["beta"], "se": fit["se"], "names": names}
    found["ML"] = {
        "criterion": raw["fits"]["ML"]["criterion"],
        "beta": raw["fits"]["ML"]["beta"],
        "names": names,
    }
    if task in ("satterthwaite", "kenward-roger"):
        if task.replace("-", "_") not in fit:  # pbkrtest cannot do InstEval
            return {}
        table = fit[task.replace("-", "_")]
        found |= {name: table[name] for name in ("df", "se") if name in table}
    if task == "profile":
        exact = raw["extras"]["profile_exact"]
        found["limits"] = np.column_stack([exact["lower"], exact["upper"]])
    if task == "gradient":
        found["gradient"] = raw["objective_points"][0]["REML_gradient"]
    if task == "prediction":
        found["width"] = prediction_width(raw)
    return _bootstrapped(found, task)


def _bootstrapped(found: dict[str, Any], task: str) -> dict[str, Any]:
    return found | {"boot_se": found["se"]} if task == "bootstrap" else found


def exact_power() -> np.ndarray:
    """Return the power of the t test of the subjects' slopes, at each size."""
    size = np.array(SIZES)
    variance = (ROOT @ ROOT.T)[1, 1] + SIGMA**2 / 82.5  # 82.5: squares of ten days about their mean
    limit, shift = stats.t.isf(LEVEL / 2, size - 1), BETA[1] * np.sqrt(size / variance)
    return stats.nct.sf(limit, size - 1, shift) + stats.nct.cdf(-limit, size - 1, shift)


def prediction_width(raw: dict[str, Any]) -> float:
    """Return the mean width of 95% prediction intervals of the sleepstudy rows, by dense algebra."""
    subject, days = np.repeat(np.arange(18), 10), np.tile(np.arange(10.0), 18)
    X, one = np.column_stack([np.ones(180), days]), np.eye(18)[subject]
    fit = raw["fits"]["REML"]
    a, b, c = fit["theta"]
    factor = np.array([[a, 0], [b, c]])
    Z = np.einsum("nj,nq->njq", one, X).reshape(180, -1) @ np.kron(np.eye(18), factor)
    T = np.hstack([X, Z])
    penalty = np.diag([0.0] * 2 + [1.0] * 36)
    variance = fit["sigma"] ** 2 * (1 + np.einsum("ni,ij,nj->n", T, np.linalg.inv(T.T @ T + penalty), T))
    return float(np.mean(2 * stats.norm.isf(0.025) * np.sqrt(variance)))


def judge(answer: dict[str, Any], right: dict[str, Any], size: int) -> Verdict:
    """Compare what was found with what it must be."""
    if not right:
        return Verdict(True, "", "no reference, not checked")
    if answer.get("method") == "ML":
        right = right.get("ML", {})
    differences, wrong = {}, []
    for quantity in LIMITS.keys() & answer.keys() & right.keys():
        found, true = _aligned(answer, right, quantity)
        each = _difference(quantity, found, true, right, answer.get("each", size))
        worst = int(np.argmax(np.where(np.isfinite(found), each, -1)))
        differences[quantity] = each[worst]
        if not each[worst] <= LIMITS[quantity]:
            wrong.append(f"{quantity} {found[worst]:.6g}, right is {true[worst]:.6g}")
    if not differences:
        return Verdict(False, "", "nothing to check")
    shown = ", ".join(f"{name} {value:.0e}" for name, value in sorted(differences.items()))
    return Verdict(not wrong, shown, "; ".join(wrong))


def _aligned(answer: dict, right: dict, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Bring coefficients into the same order, whatever a package calls and sorts them."""
    found, true = (np.asarray(source[quantity], float) for source in (answer, right))
    if quantity == "rejected":
        true = true * answer["each"]
        return found.sum(keepdims=True), true.sum(keepdims=True)
    if quantity in ("beta", "se", "df"):
        place = {_plain(name): i for i, name in enumerate(answer["names"])}
        found = np.array(
            [found[place[name]] if name in place else np.nan for name in map(_plain, right["names"])]
        )
    return np.atleast_1d(found.ravel()), np.atleast_1d(true.ravel())


def _plain(name: str) -> str:
    """Reduce "Sex[T.Female]" and "SexFemale", "(Intercept)" and "Intercept" to one spelling."""
    parts = re.sub(r"\[(?:T\.)?|[\].()]", "", name).split(":")
    return ":".join(sorted(parts))


def _difference(quantity: str, found: np.ndarray, true: np.ndarray, right: dict, n: int) -> np.ndarray:
    if quantity in ("criterion", "criteria", "off"):
        unit = np.ones(len(true))
    elif quantity == "beta":
        unit = np.asarray(right["se"], float) if "se" in right else np.abs(true)
    elif quantity == "limits":
        unit = np.repeat(true[1::2] - true[::2], 2)
    elif quantity == "gradient":
        unit = np.full(len(true), np.abs(true).max())
    elif quantity == "boot_se":
        unit = np.abs(true) / np.sqrt(2 * n)
    elif quantity == "rejected":
        shares = exact_power()
        unit = np.sqrt(n * np.sum(shares * (1 - shares), keepdims=True))
    else:
        unit = np.abs(true)
    return np.abs(found - true) / unit


def make() -> None:
    """Write truths.json from lme4's fits."""
    from ._process import Worker, commands

    command, environment = commands(["lme4"], "cpu")["lme4"]
    # n responses of the file beside the data; the other response; the data as they are, n data sets.
    asked = [(SLEEPSTUDY, "sleep_slope other", 0), (GPA, "gpa", -1), (GPA, "gpa other", 0)]
    asked += [(INTERCEPTS, "intercepts", FIRST), (SLOPES, "slopes", FIRST), (MANY_SETS, "sets", -FIRST)]
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, case, n in asked:
            worker = Worker("lme4", command, environment)
            version = worker.ask("about")["version"]
            path, factors = model.write(Path(folder))
            worker.ask("load", path, model.formula, factors)
            worker.ask("prepare", "truth")
            found = worker.ask("truth", n)
            worker.close()
            if len(found["criteria"]) > 1:
                kept[case] = {"criteria": found["criteria"], "ML": {"criteria": found["criteria_ml"]}}
            else:
                kept[case] = {key: found[key] for key in ("criterion", "beta", "se", "names")}
                ml = {"criterion": found["criteria_ml"][0], "beta": found["beta_ml"], "names": found["names"]}
                kept[case]["ML"] = ml
    text = json.dumps({"made by": version} | kept, indent=1)
    (Path(__file__).parent / "truths.json").write_text(text + "\n")


if __name__ == "__main__":
    make()
