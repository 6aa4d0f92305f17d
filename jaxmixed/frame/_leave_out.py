"""Fits without each level of a grouping factor: in lanes of one program, or one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxmixed import core

from ..core._patterns import bucket
from ..core._programs import Program
from ._estimate import AT_ONCE, OPTIONS

if TYPE_CHECKING:
    from ._fitted import FittedModel

LONG = 3_000_000  # numbers in the statistics of all lanes, beyond which optimised loops repay compilation
COPIES = 10  # of the statistics of a lane, alive at once while fitting
DEFICIENT = "the fixed effects cannot all be estimated without this group"


class LeftOut(NamedTuple):
    """Estimates without each of J levels, NaN where there are none, and how the fits ended."""

    beta: np.ndarray
    se: np.ndarray
    theta: np.ndarray
    sigma: np.ndarray
    status: list[str]


def leave_out(fit: FittedModel, factor: int) -> LeftOut:
    """Fit without each level of a factor: in lanes of one program, or one by one if factors are crossed."""
    deletion = core.deletions(fit._conditioned, fit._plan, fit.y, factor)
    if deletion is None:
        refits, lost = _one_by_one(fit, factor)
    else:
        stats = fit.stats if len(fit.stats.blocks) == 1 else fit._all_levels
        refits = _in_lanes(deletion, stats, fit.theta, fit.reml)
        lost = core.rank_deficient(stats.C - deletion.C, stats.n - deletion.n)
    found, endings = refits.estimates, [core.RESULTS[int(result)] for result in refits.fit.result]
    se = np.sqrt(np.diagonal(found.vcov, axis1=1, axis2=2))
    for array in (numbers := (found.beta, se, refits.fit.theta, found.sigma)):
        array[lost] = np.nan
    return LeftOut(*numbers, [DEFICIENT if bad else end for bad, end in zip(lost, endings, strict=True)])


def _in_lanes(deletion: Any, stats: core.SuffStats, theta: np.ndarray, reml: bool) -> core.Refit:
    J, size = len(deletion.n), core.numbers_in(stats)
    batch = bucket(int(np.clip(AT_ONCE // (COPIES * size), 1, J)))
    # Whole batches, the last filled up with its own last level: one shape to compile.
    lanes = np.minimum(np.arange(-(-J // batch) * batch), J - 1)
    padded = jax.tree.map(lambda a: a[lanes], deletion)
    with jax.enable_x64(True):
        found = _compiled_lanes[J * size <= LONG](padded, stats, theta, reml=reml, batch=batch)
        return jax.tree.map(lambda a: np.array(a)[:J], found)


def _one_by_one(fit: FittedModel, factor: int) -> tuple[core.Refit, np.ndarray]:
    term, refits, lost = fit.frame.design.terms[factor], [], []
    program = _compiled_single[term.n_levels * core.numbers_in(fit._all_levels) <= LONG]
    for level in range(term.n_levels):
        kept = np.asarray(term.codes != level, fit.y.dtype)
        stats = core.row_weighted(fit._conditioned, fit.y, fit._all_levels, kept)
        lost.append(core.rank_deficient(stats.C, stats.n))
        with jax.enable_x64(True):
            refits.append(jax.tree.map(np.asarray, program(stats, fit.theta, reml=fit.reml)))
    return jax.tree.map(lambda *a: np.stack(a), *refits), np.array(lost)


def _each(deletion: Any, stats: core.SuffStats, theta: np.ndarray, reml: bool, batch: int) -> core.Refit:
    def one(level):
        return core.refit(core.without(level, stats), theta, reml)

    return jax.lax.map(one, deletion, batch_size=batch)


_compiled_lanes = {short: Program(_each, OPTIONS[short], ["reml", "batch"]) for short in OPTIONS}
_compiled_single = {short: Program(core.refit, OPTIONS[short], ["reml"]) for short in OPTIONS}
