"""Every reference case, fitted anew: the worst difference of each quantity from lme4, lmerTest and pbkrtest.

Run in a process of its own, `python -m benchmarks._accuracy [CASE ...]` prints JSON: for each quantity the
worst difference, its case, and how many numbers were compared.
"""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._table import Table

TESTS = Path(__file__).parents[1] / "tests"
QUICK = ("sleep_slope", "pastes", "penicillin", "dyestuff2", "orthodont")
# Quantity, and what its difference is relative to.
UNITS = {
    "criterion": "its value",
    "beta": "their standard errors",
    "standard errors": "their values",
    "standard deviations and sigma": "their values; sigma where zero",
    "fitted values": "sigma",
    "random effects": "their standard errors; sigma where those are zero",
    "Satterthwaite df": "their values",
    "Kenward-Roger df": "their values",
    "Kenward-Roger standard errors": "their values",
    "F statistics, types 1 and 3": "their values",
    "covariance of variance parameters": "products of standard errors",
    "profile limits": "widths of the intervals",
}


def accuracy(suite: str) -> Table:
    """Compare all cases, by REML and by ML, or a few by REML."""
    cases = QUICK if suite == "quick" else ()
    command = [sys.executable, "-m", "benchmarks._accuracy", *cases]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=TESTS.parent)
    worst = json.loads(found.stdout.splitlines()[-1])
    rows = [
        (quantity, f"{worst[quantity][0]:.0e}", worst[quantity][1], f"{worst[quantity][2]:,}", unit)
        for quantity, unit in UNITS.items()
        if quantity in worst
    ]
    header = ("quantity", "worst difference", "in", "numbers compared", "relative to")
    models = f"{len(cases)} of the models" if cases else "all models"
    notes = (
        f"Of {models} in tests/reference, fitted by R's packages. Their numbers are uncertain themselves "
        "where R differentiates numerically: degrees of freedom and covariances of variance parameters.",
    )
    return Table("Accuracy: the worst difference from the reference", header, rows, notes)


def compared(names: list[str]) -> dict[str, tuple[float, str, int]]:
    sys.path.insert(0, str(TESTS))
    from catalog import all_cases

    worst: dict[str, tuple[float, str, int]] = {}
    warnings.simplefilter("ignore")
    for case in all_cases().values():
        if names and case.name not in names:
            continue
        for reml in (True,) if names else (True, False):
            label = f"{case.name}, {'REML' if reml else 'ML'}"
            for quantity, found, true, unit in differences(case, reml):
                each = np.abs(np.asarray(found, float) - true) / unit
                size, where, count = worst.get(quantity, (-1.0, "", 0))
                largest = float(np.max(each))
                if not largest <= size:
                    size, where = largest, label
                worst[quantity] = (size, where, count + each.size)
    return worst


def differences(case: Any, reml: bool) -> Iterator[tuple[str, Any, np.ndarray, Any]]:
    """Yield quantity, what we find, what R finds, and the unit of the difference."""
    import jaxmixed as jm

    fit = jm.lmer(case.formula, case.data(), reml, weights=case.weights)
    truth = case.fits["REML" if reml else "ML"]
    se, sigma = np.array(truth["se"]), truth["sigma"]
    yield "criterion", [fit.criterion], np.array([truth["criterion"]]), abs(truth["criterion"])
    yield "beta", fit.params, np.array(truth["beta"]), se
    yield "standard errors", fit.bse, se, se
    table = fit.varcorr()
    sd = np.array([x for term in truth["varcorr"] for x in np.atleast_1d(term["sd"])] + [sigma])
    yield (
        "standard deviations and sigma",
        table.loc[table["term2"].isna(), "sd"],
        sd,
        np.where(sd > 0, sd, sigma),
    )
    head = np.array(truth["head_rows"]) - 1
    yield "fitted values", fit.fittedvalues.loc[head], np.array(truth["fitted_head"]), sigma
    yield from modes(fit, truth)
    for ddf, title in (("satterthwaite", "Satterthwaite"), ("kenward_roger", "Kenward-Roger")):
        right = truth.get(ddf)
        if right is None or (ddf == "kenward_roger" and not reml):
            continue
        tests = fit.tidy("fixed", ddf=ddf.replace("_", "-"))
        df = np.array(right.get("df_recomputed", right["df"]))
        yield f"{title} df", tests["df"], df, df
        if ddf == "kenward_roger":
            yield f"{title} standard errors", tests["std_error"], np.array(right["se"]), np.array(right["se"])
        yield from f_statistics(fit, truth, ddf)
    if not truth["singular"]:
        right = np.array(truth["vcov_varpar"]["vcov"])
        spread = np.sqrt(np.diag(right))
        found = fit.cov_varcorr("theta")
        yield "covariance of variance parameters", found, right, np.outer(spread, spread)
    exact = case.raw.get("extras", {}).get("profile_exact")
    if exact and reml:
        limits = fit.conf_int(method="profile", parm="all").to_numpy()
        limits = np.vstack([limits[len(se) :], limits[: len(se)]])
        right = np.column_stack([exact["lower"], exact["upper"]])
        yield "profile limits", limits, right, np.diff(right)


def f_statistics(fit: Any, truth: dict, ddf: str) -> Iterator[tuple[str, Any, np.ndarray, Any]]:
    from references import r_names

    for type in (1, 3):
        right = (truth.get(f"anova_type{type}") or {}).get(ddf)
        if right is None:
            continue
        table = fit.anova(type, ddf.replace("_", "-"))
        table.index = r_names(table.index)
        F = np.array(right["F"], float)
        known = np.isfinite(F)
        found = table.loc[right["terms"], "statistic"].to_numpy()[known]
        yield "F statistics, types 1 and 3", found, F[known], np.abs(F[known])


def modes(fit: Any, truth: dict) -> Iterator[tuple[str, Any, np.ndarray, Any]]:
    """Compare the conditional modes of the levels that the reference has."""
    from references import r_name

    table = fit.ranef()
    place = {
        (g, str(level), r_name(e)): v
        for g, level, e, v in table[["group_var", "group", "effect", "value"]].to_numpy()
    }
    for term, names in zip(truth["ranef"], truth["varcorr"], strict=True):
        mode, sd = np.array(term["mode"], float), np.array(term["cond_sd"], float)
        group, effects = names["group"], names["coef_names"]
        found = [[place[group, str(level), e] for e in effects] for level in term["levels"]]
        unit = np.where(sd > 1e-6 * truth["sigma"], sd, truth["sigma"])
        yield "random effects", found, mode.reshape(np.shape(found)), unit.reshape(np.shape(found))


if __name__ == "__main__":
    print(json.dumps(compared(sys.argv[1:])))
