"""Crossed random effects given the data: the eliminated factor's by way of the others'.

With e eliminated and o all others side by side,

    b_o ~ N(mode_o, sigma^2 K_oo),     b_j | b_o ~ N(mode_j - K_j A_jo (b_o - mode_o), sigma^2 K_j)

for every level j of e, K_j its covariance when the others are known and K_oo = Lambda_o S_oo^-1 Lambda_o'.
A row meets a few columns of o, so that of A_eo K_oo only those are formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ._structure import Factors, Posterior, RowTerm
from ._types import Array, namespace

if TYPE_CHECKING:
    from ._crossed import Crossed, Solved


@dataclass(frozen=True, eq=False)
class CrossedPosterior(Posterior):
    """Crossed random effects given the data.

    Attributes
    ----------
    crossed, factors, solved
        The cross products, Lambda of every factor, and what eliminating the effects left.
    """

    crossed: Crossed
    factors: Factors
    solved: Solved

    @cached_property
    def K_others(self) -> Float[Array, "D D"]:
        """Covariance of the others' effects, relative to sigma^2."""
        half = self.crossed._left_transposed(self.factors, self.solved.inverse)
        return self.crossed._left_transposed(self.factors, half.T)

    def modes(self, V: Float[Array, "c v"]) -> tuple[Float[Array, "J q v"], ...]:
        columns = [self.crossed.modes_from(self.factors, self.solved, v) for v in V.T]
        return tuple(namespace(V, *b).stack(b, axis=2) for b in zip(*columns, strict=True))

    def covariances(self) -> tuple[Float[Array, "J q q"], ...]:
        first, others = 0, []
        for J, q in self.crossed.sizes:
            block = self.K_others[first : first + J * q, first : first + J * q].reshape(J, q, J, q)
            others.append(namespace(block).einsum("jajb->jab", block))
            first += J * q
        by_term = dict(zip(self.crossed.order, [self._own(), *others], strict=True))
        return tuple(by_term[t] for t in sorted(by_term))

    def variances(self, rows: tuple[RowTerm, ...]) -> Float[Array, " m"]:
        (z, codes), *others = [rows[t] for t in self.crossed.order]
        xp, (columns, w) = namespace(z, self.K_others), self._columns(others)
        met = self.crossed.couplings.through(self.K_others, codes, columns)
        across = xp.einsum("mi,mij,mjv,mv->m", z, self.solved.K[codes], met, w)
        total = xp.einsum("mi,mij,mj->m", z, self._own()[codes], z) - 2 * across
        for i in range(w.shape[1]):
            among = self.K_others[columns[:, i, None], columns]
            total = total + w[:, i] * (among * w).sum(1)
        return total

    def _own(self):
        """Return K_ee of each level of e."""
        K = self.solved.K
        return K + K @ self.crossed.couplings.spread(self.K_others) @ K

    def _columns(self, others: list[RowTerm]):
        """Return the columns of o that each row meets, and its z there, both of shape (m, v)."""
        starts = np.cumsum([0, *(J * q for J, q in self.crossed.sizes)])
        columns = [
            start + term.codes[:, None] * term.z.shape[1] + np.arange(term.z.shape[1])
            for start, term in zip(starts, others, strict=False)
        ]
        xp = namespace(*(term.z for term in others))
        return xp.concatenate(columns, axis=1), xp.concatenate([term.z for term in others], axis=1)
