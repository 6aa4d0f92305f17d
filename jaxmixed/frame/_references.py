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

from typing import Any, Literal

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
    check_ddf(ddf, fit.reml)
    if ddf not in fit._references:
        curved = fit._curvature if ddf in ("satterthwaite", "kenward-roger") else None
        fit._references[ddf] = by_method(ddf, fit.theta, fit.stats, fit.reml, curved)
    return fit._references[ddf]


def check_ddf(ddf: str, reml: bool) -> None:
    """Check that a method of tests exists, and is made for the likelihood used."""
    check_choice("ddf", ddf, tuple(TITLES))
    if ddf == "kenward-roger" and not reml:
        raise DataError(
            "Kenward-Roger tests are made for restricted likelihood, and this fit is by maximum likelihood; "
            "fit with reml=True, or use ddf='satterthwaite'."
        )


def by_method(
    ddf: str, theta: Any, stats: core.SuffStats, reml: bool, curved: core.Curvature | None = None
) -> core.Reference:
    """Do as `reference` for one theta and its statistics, in JAX too."""
    if ddf == "satterthwaite":
        return core.satterthwaite(theta, stats, reml, curved)
    if ddf == "kenward-roger":
        return core.kenward_roger(theta, stats, curved)
    return core.wald(theta, stats, reml, np.inf if ddf == "wald" else stats.n - stats.p)


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
