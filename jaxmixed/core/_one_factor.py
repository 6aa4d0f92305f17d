"""One grouping factor, and the compression that makes its cost independent of the data's size.

With A_j = Z_j'W_jZ_j, B_j = Z_j'W_j[X y]_j and K_j = Lambda (I + Lambda'A_jLambda)^-1 Lambda',

    logdet = sum_j log|I + Lambda'A_jLambda|,     S = C - sum_j B_j'K_jB_j.

K_j depends on j through A_j alone. Levels with equal A_j form a pattern u, and then
sum_j B_j'K_jB_j = sum_u <K_u, G_u> with G_u = sum_{j in u} vec(B_j) vec(B_j)'.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._patterns import bucket, find_patterns, pad_rows
from ._structure import Factors, Levels, Plan, Reduced, Structure, eliminate
from ._types import Array, namespace, segment_sum


class OneFactor(Levels):
    """Cross products of one factor, level by level."""

    A: Float[Array, "J q q"]
    B: Float[Array, "J q c"]

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

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        logdet, K = eliminate(factors[0], self.A)
        xp = namespace(K)
        return Reduced(self.counts @ logdet, C - xp.einsum("uij,uijcd->cd", K, self.G))


class OneFactorPlan(Plan):
    """The part of one factor's cross products that does not depend on [X y].

    Attributes
    ----------
    pattern
        Pattern of each level, or `None` when the levels are not to be merged.
    """

    term: RandomTerm
    A: Float[Array, "J q q"]
    pattern: Int[np.ndarray, " J"] | None
    n_patterns: int = eqx.field(static=True)

    @classmethod
    def build(cls, term: RandomTerm, n_columns: int) -> "OneFactorPlan":
        """Form every A_j and look for patterns, if the numbers are known and merging saves work."""
        z = term.z
        A = segment_sum(z[:, :, None] * z[:, None, :], term.codes, term.n_levels)
        if namespace(A) is not np:
            return cls(term, A, None, 0)
        pattern, n_patterns = find_patterns(A)
        q = term.z.shape[1]
        merged, single = n_patterns * q * n_columns, term.n_levels * (q + n_columns)
        return cls(term, A, pattern if merged <= single else None, n_patterns)

    def attach(self, V: Float[Array, "n c"]) -> OneFactor:
        return OneFactor(self.A, self._B(V))

    def compressed(self, V: Float[Array, "n c"]) -> OneFactor | Patterns:
        if self.pattern is None:
            size = bucket(self.term.n_levels)
            return OneFactor(pad_rows(self.A, size), pad_rows(self._B(V), size))
        B, U = self._B(V), self.n_patterns
        if U == 1:
            flat = B.reshape(len(B), -1)
            G = (flat.T @ flat)[None]
        else:
            flat = B.reshape(len(B), -1)
            G = segment_sum(flat[:, :, None] * flat[:, None, :], self.pattern, U)
        q, c = B.shape[1:]
        G = G.reshape(U, q, c, q, c).transpose(0, 1, 3, 2, 4)
        counts = np.bincount(self.pattern, minlength=U).astype(B.dtype)
        first = np.full(U, len(B))
        np.minimum.at(first, self.pattern, np.arange(len(B)))
        size = bucket(U)
        return Patterns(pad_rows(counts, size), pad_rows(self.A[first], size), pad_rows(G, size))

    def _B(self, V):
        z = self.term.z
        return segment_sum(z[:, :, None] * V[:, None, :], self.term.codes, self.term.n_levels)
