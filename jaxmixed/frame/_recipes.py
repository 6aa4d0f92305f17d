"""How the statistics of replicates are made, very many at a time.

    theta, beta, sigma -> core.sampler -> core.draw    without rows, at a cost that does not grow with them
    a response, row by row -> core.assemble            crossed factors, and responses of other kinds

Replicate i depends on the key and on i alone: not on how many there are, nor on how they are batched.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxmixed import core

from ._batches import BY_RESPONSE, axes_of
from ._estimate import QUICKEST

AT_ONCE = 2**24  # numbers in the statistics of the replicates between two looks at the progress
LEAST, MOST = 64, 2**14  # of these replicates
KEPT = 32  # compiled programs that draw: those of rows hold the rows


@dataclass(frozen=True, eq=False)
class Recipe:
    """How statistics are made: `make(key, ingredients)`, and which of their leaves differ by replicate."""

    make: Callable[[Any, Any], core.SuffStats]
    ingredients: Any
    names: tuple[str, ...]

    @functools.cached_property
    def like(self) -> core.SuffStats:
        """Shapes of one replicate."""
        with jax.enable_x64(True):
            return jax.eval_shape(self.make, jax.random.key(0), self.ingredients)

    @property
    def at_once(self) -> int:
        """How many replicates to make between two looks at the progress."""
        return int(np.clip(AT_ONCE // core.numbers_in(self.like), LEAST, MOST))


@dataclass(frozen=True, eq=False)
class Rows:
    """A design, and what is made of it once for all responses; `stats` are compressed, of any response."""

    design: core.Design
    conditioned: core.Conditioned
    plan: core.Plan
    stats: core.SuffStats


def parametric(theta: np.ndarray, beta: np.ndarray, sigma: float, rows: Rows) -> Recipe:
    """Draw random effects and residuals from normal distributions."""
    structure, p = rows.stats.structure, rows.stats.p
    if isinstance(structure, core.AnyCrossed):
        return Recipe(_simulated(rows), (theta, beta, sigma), BY_RESPONSE)
    families = core.families_of(structure, p) if isinstance(structure, core.NestedPatterns) else None
    sampler = _compiled_sampler()(theta, beta, sigma, rows.stats, families)
    return Recipe(core.draw, sampler, BY_RESPONSE)


def by_rows(response: Callable[[Any, Any], Any], rows: Rows) -> Callable[[Any, Any], core.SuffStats]:
    """Return a maker of statistics from one of responses, row by row."""
    # Merging nested levels looks at numbers, which a compiled program does not have.
    compress = not isinstance(rows.stats.structure, core.Nested | core.NestedPatterns)

    def make(key, ingredients):
        y = response(key, ingredients)
        return core.assemble(rows.conditioned, rows.plan, y, compress=compress)

    return make


@functools.lru_cache(KEPT)
def _simulated(rows: Rows) -> Callable[[Any, Any], core.SuffStats]:
    """Return the same function for the same rows, so that it is compiled once."""
    return by_rows(lambda key, model: core.simulate(key, rows.design, *model), rows)


def drawn(recipe: Recipe, key: jax.Array, first: int, count: int) -> core.SuffStats:
    """Make replicates first, ..., first + count - 1: those leaves that differ have a leading axis."""
    like, program = recipe.like, _drawer(recipe.make, recipe.names)
    lanes, axes = core.lanes_of_a_call(core.numbers_in(like)), axes_of(like, recipe.names)
    index = np.arange(first, first + count)
    return core.in_lanes(lambda index: program(index, key, recipe.ingredients), index, lanes, axes)


@functools.cache
def _compiled_sampler() -> Callable[..., core.Sampler]:
    return jax.jit(core.sampler, compiler_options=QUICKEST if jax.default_backend() == "cpu" else None)


@functools.lru_cache(KEPT)
def _drawer(
    make: Callable[[Any, Any], core.SuffStats], names: tuple[str, ...]
) -> Callable[..., core.SuffStats]:
    """Compile the making of many statistics, those leaves that do not differ made once."""

    def many(index, key, ingredients):
        def one(index):
            return make(jax.random.fold_in(key, index), ingredients)

        return jax.vmap(one, out_axes=axes_of(jax.eval_shape(one, index[0]), names))(index)

    return jax.jit(many, compiler_options=core.quick())
