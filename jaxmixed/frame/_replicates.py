"""Fits of bootstrap replicates: draw statistics by key, fit them in one batch, keep what tables need.

============ =======================================================================================
kind         a replicate
============ =======================================================================================
"parametric" random effects and residuals from their estimated normal distributions
"residual"   reflated modes and residuals, drawn with replacement
"case"       whole clusters, drawn with replacement
"wild"       each cluster's residuals from the fixed part, turned over with probability one half
============ =======================================================================================

Replicate i depends on the key and on i alone: not on how many there are, nor on how they are batched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import jax
from jax.sharding import Mesh

from jaxmixed import core

from ._batches import BY_RESPONSE, Fits, fit_all, in_pieces, joined
from ._check import check_choice, check_mesh
from ._errors import DataError
from ._estimate import as_key
from ._recipes import Recipe, Rows, by_rows, drawn, parametric
from ._reduced import require_rows

if TYPE_CHECKING:
    from ._fitted import FittedModel

Kind = Literal["parametric", "residual", "case", "wild"]
BY_CLUSTER = ("C", "n", "log_weights", "counts", "G", "B", "rows")


def replicate(
    fit: FittedModel, kind: str, key: Any, first: int, n: int, progress: bool, mesh: Mesh | None
) -> Fits:
    """Draw and fit replicates first, ..., first + n - 1; fewer if interrupted."""
    check_mesh(mesh)
    check_choice("kind", kind, get_args(Kind))
    with jax.enable_x64(True):
        if kind not in fit._recipes:
            fit._recipes[kind] = _recipe(fit, kind)
        recipe, key = fit._recipes[kind], as_key(key)

        def work(start: int, count: int) -> Fits:
            def part(begin: int, count: int, mesh: Mesh) -> Fits:
                stats = drawn(recipe, key, first + start + begin, count)
                return fit_all(stats, recipe.names, fit.reml, fit.theta, mesh)

            return core.over_processes(part, count, core.own_devices() if mesh is None else mesh)

        pieces = in_pieces(work, n, recipe.at_once, progress, "replicate")
    return joined(pieces)


def _recipe(fit: FittedModel, kind: str) -> Recipe:
    if kind == "case":
        return _cases(fit)
    if kind == "parametric":
        if isinstance(fit.stats.structure, core.AnyCrossed):  # whose responses are drawn row by row
            require_rows(fit.frame, "A bootstrap of crossed factors")
        found = fit._estimates
        return parametric(fit.theta, found.beta, found.sigma, _rows(fit))
    return _responses(fit, kind)


def _rows(fit: FittedModel) -> Rows:
    return Rows(fit.frame.design, fit._conditioned, fit._plan, fit.stats)


def _cases(fit: FittedModel) -> Recipe:
    require_rows(fit.frame, "The case bootstrap")
    try:
        apart = core.clusters(fit._conditioned, fit._plan, fit.y)
    except ValueError as error:
        raise DataError(str(error)) from None
    return Recipe(_draw_clusters, apart, BY_CLUSTER)


def _draw_clusters(key, apart: core.Clusters) -> core.SuffStats:
    return apart.weighted(core.draw_weights(key, len(apart.n), apart.n.dtype))


def _responses(fit: FittedModel, kind: str) -> Recipe:
    """Make responses row by row, and take their statistics."""
    require_rows(fit.frame, f"A bootstrap of kind {kind!r}")
    response, ingredients = {"residual": _resampled, "wild": _turned_over}[kind](fit)
    return Recipe(by_rows(response, _rows(fit)), ingredients, BY_RESPONSE)


def _resampled(fit: FittedModel):
    design, found = fit.frame.design, fit._estimates
    reflated = core.reflate(design, fit.theta, found.beta, found.sigma, fit._modes)
    return lambda key, reflated: core.resample(key, reflated, design), reflated


def _turned_over(fit: FittedModel):
    if isinstance(fit.stats.structure, core.AnyCrossed):
        raise DataError(
            "The grouping factors are crossed, so that no clusters are independent of one another; expected "
            "nested factors for the wild bootstrap, so use kind='parametric' or 'residual'."
        )
    design = fit.frame.design
    outermost = min(design.terms, key=lambda term: term.n_levels)
    codes, J = outermost.codes, outermost.n_levels
    return lambda key, beta: core.turn_over(key, design, beta, codes, J), fit._estimates.beta
