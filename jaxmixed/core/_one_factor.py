"""One grouping factor, and the compression that makes its cost independent of the data's size.

With A_j = Z_j'W_jZ_j, B_j = Z_j'W_j[X y]_j and K_j = Lambda (I + Lambda'A_jLambda)^-1 Lambda',

    logdet = sum_j log|I + Lambda'A_jLambda|,     S = C - sum_j B_j'K_jB_j.

K_j depends on j through A_j alone. Levels with equal A_j form a pattern u, and then
sum_j B_j'K_jB_j = sum_u <K_u, G_u> with G_u = sum_{j in u} vec(B_j) vec(B_j)'.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._patterns import bucket, pad_rows, same_rows
from ._structure import Between, Factors, Levels, Plan, Reduced, Structure, between, eliminate
from ._types import Array, namespace, segment_sum


class OneFactor(Levels):
    """Cross products of one factor, level by level."""

    A: Float[Array, "J q q"]
    B: Float[Array, "J q c"]

    def between(self) -> tuple[Between, ...]:
        xp = namespace(self.A, self.B)
        a = xp.diagonal(self.A, axis1=1, axis2=2)
        return (between(a, self.B[:, :, -1] ** 2, xp.ones_like(a[:, 0])),)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        logdet, K = eliminate(factors[0], self.A)
        xp = namespace(K)
        return Reduced(logdet.sum(), C - xp.einsum("jic,jid->cd", self.B, K @ self.B))

    def modes(self, factors: Factors, v: Float[Array, " c"]) -> tuple[Float[Array, "J q"], ...]:
        _, K = eliminate(factors[0], self.A)
        return (namespace(K).einsum("jik,jk->ji", K, self.B @ v),)

    def mode_covariances(self, factors: Factors) -> tuple[Float[Array, "J q q"], ...]:
        return (eliminate(factors[0], self.A)[1],)


class Patterns(Structure):
    """Cross products of one factor, accumulated over the levels that share a pattern."""

    counts: Float[Array, " U"]
    A: Float[Array, "U q q"]
    G: Float[Array, "U q q c c"]

    def between(self) -> tuple[Between, ...]:
        xp = namespace(self.A, self.G)
        a = xp.diagonal(self.A, axis1=1, axis2=2)
        return (between(a, xp.diagonal(self.G[..., -1, -1], axis1=1, axis2=2), self.counts),)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        logdet, K = eliminate(factors[0], self.A)
        xp = namespace(K)
        return Reduced(self.counts @ logdet, C - xp.einsum("uij,uijcd->cd", K, self.G))


class Merged(NamedTuple):
    """Which levels share a pattern.

    Attributes
    ----------
    pattern
        Pattern of each level, shape (J,).
    counts, A
        Number of levels and cross products of each pattern, padded.
    """

    pattern: Int[np.ndarray, " J"]
    counts: Float[np.ndarray, " U"]
    A: Float[np.ndarray, "U q q"]


@dataclass(frozen=True)
class OneFactorPlan(Plan):
    """The part of one factor's cross products that does not depend on [X y].

    `merged` is `None` when levels do not repeat often enough, or are not known while tracing.
    """

    term: RandomTerm
    A: Float[Array, "J q q"]
    merged: Merged | None

    @classmethod
    def build(cls, term: RandomTerm, n_columns: int) -> "OneFactorPlan":
        """Form every A_j and look for patterns, if the numbers are known and merging saves work."""
        z = term.z
        A = segment_sum(z[:, :, None] * z[:, None, :], term.codes, term.n_levels)
        if namespace(A) is not np:
            return cls(term, A, None)
        first, pattern, counts = same_rows(A.reshape(term.n_levels, -1))
        size, q = bucket(len(first)), z.shape[1]
        # G holds U q^2 c^2 numbers where A and B hold J q (q + c).
        if len(first) * q * n_columns**2 > term.n_levels * (q + n_columns):
            return cls(term, A, None)
        return cls(term, A, Merged(pattern, pad_rows(counts.astype(z.dtype), size), pad_rows(A[first], size)))

    def attach(self, V: Float[Array, "n c"]) -> OneFactor:
        return OneFactor(self.A, _products(self.term, V))

    def compressed(self, V: Float[Array, "n c"]) -> OneFactor | Patterns:
        B, merged = _products(self.term, V), self.merged
        if merged is None:
            size = bucket(len(B))
            return OneFactor(pad_rows(self.A, size), pad_rows(B, size))
        (J, q, c), U = B.shape, len(merged.counts)
        flat = B.reshape(J, q * c)
        if U == 1:
            G = flat.T @ flat
        else:
            G = segment_sum(flat[:, :, None] * flat[:, None, :], merged.pattern, U)
        return Patterns(merged.counts, merged.A, G.reshape(U, q, c, q, c).transpose(0, 1, 3, 2, 4))


def _products(term: RandomTerm, V: Float[Array, "n c"]) -> Float[Array, "J q c"]:
    return segment_sum(term.z[:, :, None] * V[:, None, :], term.codes, term.n_levels)
