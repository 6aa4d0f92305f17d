"""Crossed random effects given the data, where no dense inverse fits: b | y ~ N(mode, sigma^2 K).

The modes are exact. Of K only what belongs to single levels or rows is asked for, g'Kg for a sparse g, and
with K_oo = R B^-1 R', R = Lambda L^-T,

    g'K_oo g = g'R R'g + sum_s weight_s (g'R w_s)(g'R (B^-1 - I) w_s),

the first term exactly, the second, which is small, from the probes w that log|B| is estimated from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from ._host import on_host
from ._krylov import Columns
from ._meetings import Meetings
from ._structure import Factors, Posterior, Reduced, RowTerm
from ._types import Array, namespace

if TYPE_CHECKING:
    from ._iterative import IterativeCrossed

ROWS = 2**18  # whose variances are worked out at a time


class Effects(NamedTuple):
    """What is known of the random effects of e and, after them, of each other factor.

    Attributes
    ----------
    K
        Covariance of single levels, relative to sigma^2, the first term above alone; one (J, q, q) a factor.
    conditional
        Lambda M_j^-1 Lambda' of each level of e.
    modes
        K Z'W[X y], one (J, q, c) a factor.
    tried, moved
        R w and R (B^-1 - I) w carried over to the effects of every factor, one (J, q, s) each.
    weights
        Of the probes, shape (s,).
    """

    reduced: Reduced
    K: Columns
    conditional: Float[Array, "J q q"]
    modes: Columns
    tried: Columns
    moved: Columns
    weights: Float[Array, " s"]


@on_host
def effects(structure: IterativeCrossed, factors: Factors, C: Float[Array, "c c"]) -> Effects:
    """Eliminate all random effects, and read off what single levels need."""
    solved = structure.solve(factors, C)
    B, crossings, w = solved.B, structure.crossings, solved.probes.columns

    def carried(x, own=0):
        others = B.effects(x)
        return B.K @ (own - crossings.to_own(others)), *others

    RR = tuple(R @ R.swapaxes(1, 2) for R in B.roots)
    through = sum(m.squares_to_first(V) for m, V in zip(crossings.couplings, RR, strict=True))
    K = B.K + B.K @ through @ B.K, *RR
    tried = carried(w)
    moved = carried(tuple(x - y for x, y in zip(solved.solutions, w, strict=True)))
    return Effects(
        solved.reduced, K, B.K, carried(solved.x, structure.B), tried, moved, solved.probes.weights
    )


@dataclass(frozen=True, eq=False)
class IterativePosterior(Posterior):
    """Crossed random effects given the data."""

    structure: IterativeCrossed
    effects: Effects

    def modes(self, V: Float[Array, "c v"]) -> tuple[Float[Array, "J q v"], ...]:
        own, *others = (b @ V for b in self.effects.modes)
        return self.structure.by_term(own, others)

    def covariances(self) -> tuple[Float[Array, "J q q"], ...]:
        found, xp = self.effects, namespace(self.effects.weights)
        own, *others = (
            K + _symmetric(xp.einsum("s,jas,jbs->jab", found.weights, a, b))
            for K, a, b in zip(found.K, found.tried, found.moved, strict=True)
        )
        return self.structure.by_term(own, others)

    def variances(self, rows: tuple[RowTerm, ...]) -> Float[Array, " m"]:
        xp = namespace(self.effects.weights, *(row.z for row in rows))
        in_order = [rows[t] for t in self.structure.order]
        pieces = np.array_split(np.arange(len(in_order[0].z)), 1 + len(in_order[0].z) // ROWS)
        return xp.concatenate(
            [self._variances([RowTerm(z[i], codes[i]) for z, codes in in_order]) for i in pieces]
        )

    def _variances(self, rows: list[RowTerm]):
        found = self.effects
        xp = namespace(found.weights, *(row.z for row in rows))
        own, *others = rows

        def reach(columns):
            return sum(
                xp.einsum("ma,mas->ms", z, part[codes])
                for part, (z, codes) in zip(columns, rows, strict=True)
            )

        total = (reach(found.tried) * reach(found.moved)) @ found.weights
        for K, (z, codes) in zip(found.K, rows, strict=True):
            total = total + xp.einsum("ma,mab,mb->m", z, K[codes], z)
        half = xp.einsum("ma,mab->mb", own.z, found.conditional[own.codes])
        for coupling, RR, (z, codes) in zip(
            self.structure.crossings.couplings, found.K[1:], others, strict=True
        ):
            met = blocks_at(coupling, own.codes, codes)
            total = total - 2 * xp.einsum("ma,mab,mbc,mc->m", half, met, RR[codes], z)
        return total


def blocks_at(meetings: Meetings, first: Array, second: Array) -> Float[Array, "m a b"]:
    """Return the blocks of some pairs of levels, zero where they do not meet; the levels are concrete."""
    listed = meetings.by_first
    to, of = (np.asarray(part).reshape(-1) for part in listed[:2])
    there = to * np.int64(meetings.n_second) + of
    wanted = np.asarray(first) * np.int64(meetings.n_second) + np.asarray(second)
    position = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    blocks = listed.value.reshape(-1, *listed.value.shape[2:])[position]
    return namespace(blocks).where((there[position] == wanted)[:, None, None], blocks, 0)


def iterative_posterior(
    structure: IterativeCrossed, factors: Factors, C: Float[Array, "c c"]
) -> IterativePosterior:
    """Return the posterior at one Lambda of each factor."""
    found = effects(structure, factors, C)
    return IterativePosterior(found.reduced, structure, found)


def _symmetric(matrices):
    return (matrices + matrices.swapaxes(1, 2)) / 2
