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

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxmixed import core

from ._batches import BY_RESPONSE, in_pieces
from ._check import check_choice, check_mesh
from ._errors import DataError
from ._estimate import as_key
from ._recipes import Recipe, Rows, by_rows, parametric
from ._reduced import require_rows

if TYPE_CHECKING:
    from ._fitted import FittedModel

Kind = Literal["parametric", "residual", "case", "wild"]
BY_CLUSTER = ("C", "n", "log_weights", "counts", "G", "B", "rows")


class Fits(NamedTuple):
    """Estimates of B fits.

    Attributes
    ----------
    theta
        Shape (B, k).
    beta, se
        Fixed effects and their standard errors, shape (B, p).
    sdcor
        Standard deviations and correlations in theta's order, and sigma, shape (B, k + 1).
    criterion
        -2 log likelihood, REML or ML, shape (B,).
    result
        How each fit ended, an index into `core.RESULTS`, shape (B,).
    """

    theta: np.ndarray
    beta: np.ndarray
    se: np.ndarray
    sdcor: np.ndarray
    criterion: np.ndarray
    result: np.ndarray


def joined(pieces: list[Fits]) -> Fits:
    """Put pieces one after another."""
    return Fits(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


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
            asked = key, first + start, count, fit.reml
            found, (beta, se, sdcor, criterion) = recipe.fit(*asked, _reader(fit.reml), mesh=mesh)
            return Fits(found.theta, beta, se, sdcor, criterion, found.result)

        pieces = in_pieces(work, n, recipe.at_once, progress, "replicate")
    return joined(pieces)


@functools.cache
def _reader(reml: bool) -> Callable[..., Any]:
    """Return the reading of one fit."""

    def read(theta, stats):
        found = core.estimates(theta, stats, reml)
        sdcor = core.standard_deviations(theta, found.sigma, stats.blocks)
        return found.beta, jnp.sqrt(jnp.diagonal(found.vcov)), sdcor, found.criterion

    return read


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
    return Recipe(by_rows(response, _rows(fit)), ingredients, BY_RESPONSE, len(fit.y))


def _resampled(fit: FittedModel):
    design, found = fit.frame.design, fit._estimates
    reflated = core.reflate(design, fit.theta, found.beta, found.sigma, fit._modes)
    return lambda key, reflated: core.resample(key, reflated, design), reflated


def _turned_over(fit: FittedModel):
    if isinstance(fit._all_levels.structure, core.AnyCrossed):
        raise DataError(
            "The grouping factors are crossed, so that no clusters are independent of one another; expected "
            "nested factors for the wild bootstrap, so use kind='parametric' or 'residual'."
        )
    design = fit.frame.design
    outermost = min(design.terms, key=lambda term: term.n_levels)
    codes, J = outermost.codes, outermost.n_levels
    return lambda key, beta: core.turn_over(key, design, beta, codes, J), fit._estimates.beta
