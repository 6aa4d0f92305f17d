"""The Monte Carlo error of fits whose crossed factors were solved for by iterative methods."""

import numpy as np
import pandas as pd

from jaxmixed import core

from ._errors import DataError
from ._fitted import FittedModel
from ._labels import parameter_labels

MATTERS = 0.5  # of a standard error, from where on a Monte Carlo error is warned of
UNSOLVED = 1e-5  # relative residual, above which conjugate gradients have not converged


def iterative(fit: FittedModel) -> core.IterativeCrossed | None:
    """Return what a fit with a Monte Carlo error was solved with; `None` for other fits."""
    structure = fit.stats.structure
    return structure if isinstance(structure, core.IterativeCrossed) else None


def monte_carlo_table(fit: FittedModel) -> pd.DataFrame:
    """Return the Monte Carlo error of every parameter beside its standard error."""
    structure = iterative(fit)
    if structure is None:
        raise DataError("This fit was solved directly and has no Monte Carlo error; none to report.")
    error, sigma = fit._monte_carlo, fit.sigma
    values = np.append(fit.theta, sigma)
    nothing = np.zeros(len(values), bool)
    blocks = fit.stats.blocks
    noise = core.on_scale(core.VarianceParameters(values, error.variances, nothing), blocks, "sdcor")
    spread = core.on_scale(fit._variance_parameters, blocks, "sdcor")
    found = fit._estimates
    se = np.sqrt(np.concatenate([np.diagonal(spread.vcov), np.diagonal(found.vcov)]))
    mc = np.concatenate([np.sqrt(np.diagonal(noise.vcov)), error.beta])
    table = pd.DataFrame(
        {
            "estimate": np.concatenate([noise.values, found.beta]),
            "std_error": se,
            "mc_error": mc,
            "ratio": mc / se,
        },
        index=pd.Index(parameter_labels(fit.frame, "sdcor")[0], name="parameter"),
    )
    table.attrs["criterion"] = float(error.criterion)
    table.attrs["probes"], table.attrs["seed"] = structure.n_probes, int(structure.seed)
    table.attrs["residual"], table.attrs["steps"] = float(error.residual), int(error.steps)
    return table


def worst(fit: FittedModel) -> float:
    """Return the largest Monte Carlo error of an element of theta or sigma, in units of its standard error.

    The standard errors are those that the average information gives.
    """
    noise = np.sqrt(np.diagonal(fit._monte_carlo.variances)[:-1])
    return float((noise / fit._monte_carlo.theta_se).max(initial=0.0))


def doubt(fit: FittedModel) -> str | None:
    """Say why the estimates may not be those sought, in a sentence, or `None`."""
    structure = iterative(fit)
    if structure is None:
        return None
    error, probes = fit._monte_carlo, structure.n_probes
    if not error.residual < UNSOLVED:
        return (
            f"The random effects were not solved for: after {int(error.steps)} steps of conjugate gradients "
            f"a residual of {float(error.residual):.1e} is left; use solver='direct'."
        )
    if worst(fit) > MATTERS:
        return (
            f"The Monte Carlo error of a variance is {worst(fit):.1f} times its standard error; use "
            f"solver='direct', or more probes than {probes}: solver=jm.Iterative(probes={16 * probes})."
        )
    return None
