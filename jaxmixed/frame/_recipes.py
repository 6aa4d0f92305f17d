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
from jax.sharding import Mesh

from jaxmixed import core

from ..core._programs import QUICKEST, Program
from ._batches import BY_RESPONSE, axes_of

AT_ONCE = 2**24  # numbers in the statistics of the replicates between two looks at the progress
LEAST, MOST = 64, 2**14  # of these replicates
KEPT = 32  # functions that make statistics: those of rows hold the rows

_sampler = Program(core.sampler, QUICKEST)


@dataclass(frozen=True, eq=False)
class Recipe:
    """How replicates are made: `make(key, ingredients)`, and which of their leaves differ by replicate.

    `rows` is the number of numbers that making one takes besides, such as a response.
    """

    make: Callable[[Any, Any], core.SuffStats]
    ingredients: Any
    names: tuple[str, ...]
    rows: int = 0

    @functools.cached_property
    def like(self) -> core.SuffStats:
        """Shapes of one replicate."""
        with jax.enable_x64(True):
            return jax.eval_shape(self.make, jax.random.key(0), self.ingredients)

    @functools.cached_property
    def _differs(self) -> tuple[bool, ...]:
        axes = jax.tree.structure(self.like).flatten_up_to(axes_of(self.like, self.names))
        return tuple(axis is not None for axis in axes)

    @property
    def at_once(self) -> int:
        """How many replicates to make between two looks at the progress."""
        return int(np.clip(AT_ONCE // core.numbers_in(self.like), LEAST, MOST))

    def fit(
        self,
        key: jax.Array,
        first: int,
        count: int,
        reml: bool,
        read: Callable[..., Any],
        more: tuple[Any, ...] = (),
        mesh: Mesh | None = None,
    ) -> tuple[core.Fit, Any]:
        """Make replicates first, ..., first + count - 1, fit them, and read the fits."""
        common = key, self.ingredients
        recipe = core.Recipe(_by_number(self.make), common, self.like, self._differs, self.rows)
        with jax.enable_x64(True):
            return core.fit_made(recipe, np.arange(first, first + count), read, more, reml, mesh=mesh)


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
        return Recipe(_simulated(rows), (theta, beta, sigma), BY_RESPONSE, len(rows.design.y))
    families = core.families_of(structure, p) if isinstance(structure, core.NestedPatterns) else None
    sampler = _sampler(theta, beta, sigma, rows.stats, families)
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


@functools.lru_cache(KEPT)
def _by_number(make: Callable[[Any, Any], core.SuffStats]) -> Callable[[Any, Any], core.SuffStats]:
    """Return the making of a replicate from its number, the same function for the same work."""

    def one(index, keyed):
        key, ingredients = keyed
        return make(core.fold_in(key, index), ingredients)

    return one
