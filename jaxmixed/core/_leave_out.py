"""Leaving out groups: what the levels of a factor add to the statistics, and the fits without them.

The statistics are sums over rows, and what the rows of a level add can be taken off: from n, sum log w, C
and the cross products of the structure. The coordinates stay those of the whole data, as X = Q R and
y - offset = Q gamma_ols + scale * u hold for the rows that are left.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._conditioning import Conditioned
from ._covariance import is_diagonal
from ._criterion import Estimates, estimates
from ._deletion import Deletion, OfNested, OfOneFactor, OfPattern
from ._fit import Fit, fit
from ._level_sums import columns, level_sums
from ._nested_plan import NestedPlan, parent_levels
from ._one_factor_plan import OneFactorPlan
from ._plan import Plan
from ._strata_plan import BalancedPlan
from ._suffstats import SuffStats, conditioned, unconditioned, with_rows
from ._types import Theta, segment_sum

SMALLEST = 0.1  # diagonal of the conditioned Lambda at the start: at zero the criterion has no slope
RANK = 1e-10  # of the sums of squares of the columns of Q, which are one


def deletions(prepared: Conditioned, plan: Plan, y: Float[np.ndarray, " n"], factor: int) -> Deletion | None:
    """Return what every level of one factor adds to the statistics, or `None` if factors are crossed.

    Parameters
    ----------
    prepared, plan
        `condition(design)` and `plan(prepared)`, in NumPy.
    y
        Response, shape (n,).
    factor
        Position of the factor among the terms of the design.

    Returns
    -------
    Deletion or None
        With a leading axis over the levels; to be taken off compressed statistics for one factor, and
        off uncompressed ones for nested factors.
    """
    V, term = columns(prepared, y), prepared.terms[factor]
    shared = level_sums(prepared, V, term)
    if isinstance(plan, BalancedPlan):
        plan = plan.by_level
    if isinstance(plan, OneFactorPlan):
        if plan.merged is None:
            return OfOneFactor(*shared, np.arange(term.n_levels))
        return OfPattern(*shared, plan.merged.pattern, *plan.products(V))
    return OfNested(*shared, *_of_nested(plan, V, factor)) if isinstance(plan, NestedPlan) else None


def _of_nested(plan: NestedPlan, V: Float[np.ndarray, "n c"], factor: int):
    """Return slots, rows and place of every level of one of several nested factors."""
    at = plan.order.index(factor)
    level = plan.terms[at]
    slots, rows = [plan.slots[at]], []
    for above in range(at + 1, len(plan.terms)):
        outer = plan.terms[above]
        columns = np.concatenate([*(term.z for term in plan.terms[above:]), V], axis=1)
        rows.append(segment_sum(outer.z[:, :, None] * columns[:, None, :], level.codes, level.n_levels))
        slots.append(plan.slots[above][parent_levels(level, outer)])
    return tuple(slots), tuple(rows), at


def rank_deficient(C: Float[np.ndarray, "*batch c c"], n: Float[np.ndarray, "*batch"]) -> np.ndarray:
    """Tell where n rows with [Q u]'[Q u] = C do not determine the fixed effects."""
    p = C.shape[-1] - 1
    few = np.asarray(n <= p)
    return few | (np.linalg.eigvalsh(C[..., :p, :p])[..., 0] < RANK) if p else few


class Refit(NamedTuple):
    """A fit and the estimates at its theta."""

    fit: Fit
    estimates: Estimates


def without(deletion: Deletion, stats: SuffStats) -> SuffStats:
    """Return the statistics without one level; map over the leading axis of `deletions` to leave out each."""
    structure, C = deletion.take_off(stats.structure), stats.C - deletion.C
    return with_rows(stats, structure, C, stats.n - deletion.n, stats.log_weights - deletion.log_weights)


def refit(stats: SuffStats, theta: Theta, reml: bool) -> Refit:
    """Fit from the theta of similar data; if that is on the boundary the search starts a little off it."""
    start = conditioned(theta, stats)
    vanished = is_diagonal(stats.blocks) & (jnp.abs(start) < SMALLEST)
    found = fit(stats, reml, unconditioned(jnp.where(vanished, SMALLEST, start), stats))
    return Refit(found, estimates(found.theta, stats, reml))
