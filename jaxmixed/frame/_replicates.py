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
import numpy as np

from jaxmixed import core

from ._batches import BY_RESPONSE, Fits, axes_of, fit_all, in_pieces, joined
from ._check import check_choice
from ._errors import DataError
from ._estimate import as_key

if TYPE_CHECKING:
    from ._fitted import FittedModel

Kind = Literal["parametric", "residual", "case", "wild"]
AT_ONCE = 2**24  # numbers in the statistics of the replicates between two looks at the progress
LEAST, MOST = 64, 2**14  # of these replicates
BY_CLUSTER = ("C", "n", "log_weights", "counts", "G", "B", "rows")


class Recipe(NamedTuple):
    """How statistics are made: `make(key, ingredients)`, and which of their leaves differ by replicate."""

    make: Callable[[Any, Any], core.SuffStats]
    ingredients: Any
    names: tuple[str, ...]

    def shapes(self, key: jax.Array) -> core.SuffStats:
        """Return the shapes of one replicate."""
        return jax.eval_shape(self.make, key, self.ingredients)


def replicate(fit: FittedModel, kind: str, key: Any, first: int, n: int, progress: bool) -> Fits:
    """Draw and fit replicates first, ..., first + n - 1; fewer if interrupted."""
    check_choice("kind", kind, get_args(Kind))
    with jax.enable_x64(True):
        if kind not in fit._recipes:
            fit._recipes[kind] = _recipe(fit, kind)
        recipe, key = fit._recipes[kind], as_key(key)
        like = recipe.shapes(key)
        at_once = int(np.clip(AT_ONCE // core.numbers_in(like), LEAST, MOST))

        def work(start: int, count: int) -> Fits:
            index = np.arange(first + start, first + start + count)
            return fit_all(draw(recipe, key, index, like), recipe.names, fit.reml, fit.theta)

        pieces = in_pieces(work, n, at_once, progress, "replicate")
    return joined(pieces)


def draw(recipe: Recipe, key: jax.Array, index: np.ndarray, like: core.SuffStats) -> core.SuffStats:
    """Make the replicates of an index, shape (B,): those leaves that differ have a leading axis."""
    program, axes = _drawer(recipe.make, recipe.names), axes_of(like, recipe.names)
    lanes = core.lanes_of_a_call(core.numbers_in(like))
    return core.in_lanes(lambda index: program(index, key, recipe.ingredients), index, lanes, axes)


@functools.cache
def _drawer(
    make: Callable[[Any, Any], core.SuffStats], names: tuple[str, ...]
) -> Callable[..., core.SuffStats]:
    """Compile the making of many statistics, those leaves that do not differ made once."""

    def many(index, key, ingredients):
        def one(index):
            return make(jax.random.fold_in(key, index), ingredients)

        return jax.vmap(one, out_axes=axes_of(jax.eval_shape(one, index[0]), names))(index)

    return jax.jit(many, compiler_options=core.quick())


def _recipe(fit: FittedModel, kind: str) -> Recipe:
    if kind == "case":
        return _cases(fit)
    if kind == "parametric" and not isinstance(fit.stats.structure, core.Crossed):
        found = fit._estimates
        sampler = core.sampler(fit.theta, found.beta, found.sigma, fit.stats)
        return Recipe(core.draw, sampler, BY_RESPONSE)
    return _responses(fit, kind)


def _cases(fit: FittedModel) -> Recipe:
    try:
        apart = core.clusters(fit._conditioned, fit._plan, fit.y)
    except ValueError as error:
        raise DataError(str(error)) from None
    return Recipe(_draw_clusters, apart, BY_CLUSTER)


def _draw_clusters(key, apart: core.Clusters) -> core.SuffStats:
    return apart.weighted(core.draw_weights(key, len(apart.n), apart.n.dtype))


def _responses(fit: FittedModel, kind: str) -> Recipe:
    """Make responses row by row, and take their statistics."""
    makers = {"parametric": _simulated, "residual": _resampled, "wild": _turned_over}
    response, ingredients = makers[kind](fit)
    # Merging nested levels looks at numbers, which a compiled program does not have.
    compress = not isinstance(fit._all_levels.structure, core.Nested)

    def make(key, ingredients):
        y = response(key, ingredients)
        return core.assemble(fit._conditioned, fit._plan, y, compress=compress)

    return Recipe(make, ingredients, BY_RESPONSE)


def _simulated(fit: FittedModel):
    design, found = fit.frame.design, fit._estimates
    return lambda key, model: core.simulate(key, design, *model), (fit.theta, found.beta, found.sigma)


def _resampled(fit: FittedModel):
    design, found = fit.frame.design, fit._estimates
    reflated = core.reflate(design, fit.theta, found.beta, found.sigma, fit._modes)
    return lambda key, reflated: core.resample(key, reflated, design), reflated


def _turned_over(fit: FittedModel):
    if isinstance(fit.stats.structure, core.Crossed):
        raise DataError(
            "The grouping factors are crossed, so that no clusters are independent of one another; expected "
            "nested factors for the wild bootstrap, so use kind='parametric' or 'residual'."
        )
    design = fit.frame.design
    outermost = min(design.terms, key=lambda term: term.n_levels)
    codes, J = outermost.codes, outermost.n_levels
    return lambda key, beta: core.turn_over(key, design, beta, codes, J), fit._estimates.beta
