"""Fits of the reference cases, and what it takes to compare them."""

import re
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from catalog import Case, cases

import jaxmixed as jm


class Fitted(NamedTuple):
    """A fit of ours beside lme4's."""

    case: Case
    fit: jm.LmerResult
    truth: dict[str, Any]
    tolerance: dict[str, float]


# Each fit is a compilation. One of each structure by ML is enough to see that the criteria are not mixed up.
QUICK_BY_ML = ("dyestuff2", "pastes", "penicillin", "sleep_slope")
PARAMETERS = [
    pytest.param(
        (p.values[0], reml),
        id=f"{p.id}-{'REML' if reml else 'ML'}",
        marks=[*p.marks, *([] if reml or p.id in QUICK_BY_ML else [pytest.mark.slow])],
    )
    for p in cases()
    for reml in (True, False)
]


def reference_fit(case: Case, reml: bool) -> Fitted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        fit = jm.lmer(case.formula, case.data(), reml, weights=case.weights)
    return Fitted(case, fit, case.fits["REML" if reml else "ML"], case.tolerance["suggested"])


def r_name(name: str) -> str:
    """Spell one of our column names as R does: "sex[T.male]" is "sexmale", and powers are "x^2"."""
    name = name.replace("Intercept", "(Intercept)").replace(" ** ", "^")
    return re.sub(r"\[(?:T\.)?([^]]*)\]", r"\1", name)


def r_names(names) -> list[str]:
    return [r_name(name) for name in names]


def close(actual, desired, tolerance, unit=1.0) -> None:
    """Compare two arrays, their difference measured in `unit`."""
    actual, desired = np.asarray(actual, float), np.asarray(desired, float)
    np.testing.assert_allclose((actual - desired) / unit, np.zeros_like(desired), rtol=0, atol=tolerance)
