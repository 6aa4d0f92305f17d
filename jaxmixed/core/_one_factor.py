"""One grouping factor, and the compression that makes its cost independent of the data's size.

With A_j = Z_j'W_jZ_j, B_j = Z_j'W_j[X y]_j and K_j = Lambda (I + Lambda'A_jLambda)^-1 Lambda',

    logdet = sum_j log|I + Lambda'A_jLambda|,     S = C - sum_j B_j'K_jB_j.

K_j depends on j through A_j alone. Levels with equal A_j form a pattern u, and then
sum_j B_j'K_jB_j = sum_u <K_u, G_u> with G_u = sum_{j in u} vec(B_j) vec(B_j)'.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._patterns import bucket, pad_rows, same_rows
from ._structure import (
    Between,
    Curvature,
    Directions,
    Factors,
    Levels,
    Plan,
    Posterior,
    Reduced,
    RowTerm,
    Structure,
    between,
    both_ways,
    eliminate,
)
from ._types import Array, namespace, segment_sum

MOST_COST = 4  # times the cost of single levels, up to which a shape that recurs is worth it


class OneFactor(Levels):
    """Cross products of one factor, level by level."""

    A: Float[Array, "J q q"]
    B: Float[Array, "J q c"]

    def between(self) -> tuple[Between, ...]:
        xp = namespace(self.A, self.B)
        a = xp.diagonal(self.A, axis1=1, axis2=2)
        return (between(a, self.B[:, :, -1] ** 2, xp.ones_like(a[:, 0])),)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        return self.posterior(factors, C).reduced

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        (E,), (J, q, c), k = directions, self.B.shape, len(directions[0])
        logdet, K, F, W = _working(factors[0], self.A)
        xp = namespace(F, E, self.B)
        R = W @ self.B
        Y = xp.einsum("kab,jbc->jakc", E, R).reshape(J * q, k * c)
        FY = (F @ Y.reshape(J, q, k * c)).reshape(J * q, k * c)
        return Curvature(
            logdet.sum(),
            C - xp.einsum("jic,jid->cd", self.B, K @ self.B),
            xp.einsum("jab,kab->k", F, E),
            -(R.reshape(J * q, c).T @ Y).reshape(c, k, c).swapaxes(0, 1),
            -_pairs_of_traces(F @ E[:, None]).sum(2),
            both_ways((Y.T @ FY).reshape(k, c, k, c).swapaxes(1, 2)),
        )

    def posterior(self, factors: Factors, C: Float[Array, "c c"]) -> "OneFactorPosterior":
        logdet, K = eliminate(factors[0], self.A)
        schur = C - namespace(K).einsum("jic,jid->cd", self.B, K @ self.B)
        return OneFactorPosterior(Reduced(logdet.sum(), schur), K, self.B)


@dataclass(frozen=True, eq=False)
class OneFactorPosterior(Posterior):
    """The random effects of one factor given the data: levels are independent."""

    K: Float[Array, "J q q"]
    B: Float[Array, "J q c"]

    def modes(self, V: Float[Array, "c v"]) -> tuple[Float[Array, "J q v"], ...]:
        return (self.K @ (self.B @ V),)

    def covariances(self) -> tuple[Float[Array, "J q q"], ...]:
        return (self.K,)

    def variances(self, rows: tuple[RowTerm, ...]) -> Float[Array, " m"]:
        ((z, codes),) = rows
        return namespace(z, self.K).einsum("mi,mij,mj->m", z, self.K[codes], z)


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

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        (E,) = directions
        logdet, K, F, W = _working(factors[0], self.A)
        xp = namespace(F, E, self.G)
        RR = xp.einsum("uia,uabcd,ujb->uijcd", W, self.G, W)
        FE = F @ E[:, None]
        return Curvature(
            self.counts @ logdet,
            C - xp.einsum("uij,uijcd->cd", K, self.G),
            xp.einsum("u,uab,kab->k", self.counts, F, E),
            -xp.einsum("kab,uabcd->kcd", E, RR),
            -_pairs_of_traces(FE) @ self.counts,
            both_ways(xp.einsum("kluab,uabcd->klcd", E[:, None, None] @ FE[None], RR)),
        )


def _working(factor: Float[Array, "q q"], A: Float[Array, "J q q"]):
    """Return log|M|, K, F = Z'V^-1Z and W = I - A K, which takes Z'W[X y] to Z'V^-1[X y]."""
    logdet, K = eliminate(factor, A)
    W = namespace(K).eye(A.shape[-1], dtype=A.dtype) - A @ K
    return logdet, K, W @ A, W


def _pairs_of_traces(FE: Float[Array, "k J q q"]) -> Float[Array, "k k J"]:
    """Return tr(F_j E_k F_j E_l)."""
    return namespace(FE).einsum("kjab,ljba->klj", FE, FE)


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
        return cls(term, A, None)._merging(n_columns, 1)

    def merging(self, n_columns: int) -> "OneFactorPlan":
        """Merge levels wherever some repeat, even if that costs somewhat more.

        The statistics of designs that copy levels, more or fewer, then have one shape.
        """
        return self if self.merged is not None else self._merging(n_columns, MOST_COST)

    def _merging(self, n_columns: int, most: int) -> "OneFactorPlan":
        """Look for patterns, and merge if that costs at most so many times as much as not to."""
        J, q = self.A.shape[:2]
        first, pattern, counts = same_rows(self.A.reshape(J, -1))
        # G holds U q^2 c^2 numbers where A and B hold J q (q + c).
        if len(first) * q * n_columns**2 > most * J * (q + n_columns) or (most > 1 and len(first) == J):
            return self
        size, counts = bucket(len(first)), counts.astype(self.A.dtype)
        return replace(self, merged=Merged(pattern, pad_rows(counts, size), pad_rows(self.A[first], size)))

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
