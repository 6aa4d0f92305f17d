"""Laying out crossed factors for iterative methods: which levels meet, and where solving is hard."""

from dataclasses import dataclass
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._crossed_memory import fits_into_memory
from ._design import RandomTerm
from ._host import on_host
from ._iterative import IterativeCrossed
from ._krylov import Columns, solve
from ._meetings import Meetings
from ._plan import OrderedPlan, Products, largest_first
from ._probes import orthonormal, signs
from ._products import own_products
from ._scaled_schur import Crossings, scaled_schur
from ._types import Array

DIRECT = 10_000  # random effects of all factors but the largest: factoring their matrix takes about a minute
SOUGHT = 4  # directions besides those of the columns of z
ROUNDS = 2  # of inverse iteration, which makes what stands out stand out more


def is_direct(terms: tuple[RandomTerm, ...]) -> bool:
    """Tell whether crossed factors are better solved for directly: there are few levels, and memory."""
    levels = sorted(term.n_levels * term.z.shape[1] for term in terms)
    return sum(levels[:-1]) <= DIRECT and fits_into_memory(terms)


@dataclass(frozen=True)
class IterativePlan(OrderedPlan):
    """The part of the cross products of crossed factors that does not depend on [X y]."""

    crossings: Crossings
    known: Columns
    n_probes: int
    seed: Int[np.ndarray, ""]

    @classmethod
    def build(
        cls, terms: tuple[RandomTerm, ...], Q: Float[Array, "n p"], n_probes: int, seed: int
    ) -> "IterativePlan":
        """Lay out the factors, the one with most levels eliminated."""
        order = largest_first(terms)
        own, *others = in_order = tuple(terms[t] for t in order)
        pairs = tuple(combinations(range(len(others)), 2))
        crossings = Crossings(
            own_products(own),
            tuple(own_products(term) for term in others),
            tuple(Meetings.build(own, term) for term in others),
            tuple(Meetings.build(others[s], others[t]) for s, t in pairs),
            pairs,
        )
        drawn = np.asarray(seed, np.int32)
        known = outlying(crossings, drawn, np.zeros(SOUGHT))
        return cls(Q, in_order, order, crossings, known, n_probes, drawn)

    def levels(self, products: Products) -> IterativeCrossed:
        B, *others = products
        return IterativeCrossed(
            self.crossings, B, tuple(others), self.known, self.seed, self.order, self.n_probes
        )


@on_host
def outlying(crossings: Crossings, seed: Int[Array, ""], sought: Float[Array, " r"]) -> Columns:
    """Return directions u in which S_oo is far from its own blocks, roughly: where u'S_oo u is small.

    By inverse iteration at Lambda = I, from what is common to all levels and as many directions at random as
    `sought` is long. Which they are depends little on Lambda, and no result but the size of the Monte Carlo
    error depends on them.
    """
    sizes, dtype = crossings.sizes, crossings.A.dtype
    columns = crossings.A.shape[1], *(q for _, q in sizes)
    _, B, turned = scaled_schur(crossings, [jnp.eye(q, dtype=dtype) for q in columns])
    first, x = 0, []
    for L, random in zip(turned, signs(sizes, len(sought), seed + 2, dtype), strict=True):
        q = L.shape[1]
        common = jnp.pad(L, ((0, 0), (0, 0), (first, sum(columns[1:]) - first - q)))
        x.append(jnp.concatenate([common, random], axis=2))
        first += q
    x = tuple(x)
    for _ in range(ROUNDS):
        x, _ = solve(B, orthonormal(x))
    return jax.lax.stop_gradient(B.effects(orthonormal(x)))
