"""Which distribution tests of the fixed effects are referred to: one name for each method, everywhere.

================== ===================================================================== =================
ddf                degrees of freedom                                                    covariance
================== ===================================================================== =================
"satterthwaite"    Satterthwaite's, from the observed information on (theta, sigma)      unadjusted
"kenward-roger"    Kenward and Roger's, from the expected information; REML only         adjusted
"wald"             infinite: z and chi-square tests                                      unadjusted
"residual"         rows less fixed effects, as if the variances were known up to sigma   unadjusted
================== ===================================================================== =================
"""

from typing import Literal

import numpy as np

from jaxmixed import core

from ._check import check_choice
from ._errors import DataError
from ._fitted import FittedModel

Ddf = Literal["satterthwaite", "kenward-roger", "wald", "residual"]
TITLES = {
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger",
    "wald": "Wald z",
    "residual": "residual",
}


def reference(fit: FittedModel, ddf: str) -> core.Reference:
    """Return estimates, covariance and reference distribution by one method; computed once for a fit.

    Raises
    ------
    DataError
        For an unknown method, or Kenward-Roger on a fit by maximum likelihood.
    """
    check_choice("ddf", ddf, tuple(TITLES))
    if ddf == "kenward-roger" and not fit.reml:
        raise DataError(
            "Kenward-Roger tests are made for restricted likelihood, and this fit is by maximum likelihood; "
            "fit with reml=True, or use ddf='satterthwaite'."
        )
    if ddf not in fit._references:
        fit._references[ddf] = _build(fit, ddf)
    return fit._references[ddf]


def _build(fit: FittedModel, ddf: str) -> core.Reference:
    if ddf == "satterthwaite":
        return core.satterthwaite(fit.theta, fit.stats, fit.reml, fit._curvature)
    if ddf == "kenward-roger":
        return core.kenward_roger(fit.theta, fit.stats, fit._curvature)
    df = np.inf if ddf == "wald" else fit.nobs - fit.stats.p
    return core.wald(fit.theta, fit.stats, fit.reml, df)


def reference_notes(fit: FittedModel, ddf: str) -> tuple[str, ...]:
    """Say in sentences what a method could not know, if anything."""
    tests = reference(fit, ddf)
    notes = []
    if isinstance(tests, core.UncertainVariances):
        skipped = int(np.sum(tests.skipped))
        if skipped:
            notes.append(
                f"{TITLES[ddf]} degrees of freedom take {skipped} of {len(tests.skipped)} variance "
                f"parameters as known: the data say nothing of {'it' if skipped == 1 else 'them'} here."
            )
        elif ddf == "satterthwaite" and (fit.theta == 0).any():
            notes.append("Satterthwaite degrees of freedom take the variances at zero as known.")
    if not np.isfinite(tests.vcov).all():
        notes.append(f"{TITLES[ddf]} tests are undefined: the covariance of the fixed effects is not finite.")
    return tuple(notes)
