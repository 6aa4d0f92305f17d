"""One grouping factor, and the compression that makes its cost independent of the data's size.

With A_j = Z_j'W_jZ_j, B_j = Z_j'W_j[X y]_j and K_j = Lambda (I + Lambda'A_jLambda)^-1 Lambda',

    logdet = sum_j log|I + Lambda'A_jLambda|,     S = C - sum_j B_j'K_jB_j.

K_j depends on j through A_j alone. Levels with equal A_j form a pattern u, and then
sum_j B_j'K_jB_j = sum_u <K_u, G_u> with G_u = sum_{j in u} vec(B_j) vec(B_j)'.
"""

from dataclasses import dataclass

from jaxtyping import Float

from ._between import Between, between, between_alike
from ._elimination import eliminate
from ._patterns import pad_rows
from ._structure import (
    Curvature,
    Directions,
    Factors,
    Levels,
    Posterior,
    Reduced,
    RowTerm,
    Structure,
    both_ways,
)
from ._types import Array, identity, namespace


class OneFactor(Levels):
    """Cross products of one factor, level by level."""

    A: Float[Array, "J q q"]
    B: Float[Array, "J q c"]

    def between(self, reml: bool) -> tuple[Between, ...]:
        return (between(self.A, self.B, reml),)

    @property
    def lengths(self) -> tuple[int, ...]:
        return (len(self.A),)

    def extended(self, lengths: tuple[int, ...]) -> "OneFactor":
        return OneFactor(pad_rows(self.A, *lengths), pad_rows(self.B, *lengths))

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
        schur = C - namespace(K, self.B).einsum("jic,jid->cd", self.B, K @ self.B)
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

    def between(self, reml: bool) -> tuple[Between, ...]:
        taken = namespace(self.G).einsum("uijcc->uij", self.G[..., :-1, :-1])
        return (between_alike(self.A, self.G[..., -1, -1], taken, self.counts, reml),)

    @property
    def lengths(self) -> tuple[int, ...]:
        return (len(self.A),)

    def extended(self, lengths: tuple[int, ...]) -> "Patterns":
        return Patterns(*(pad_rows(part, *lengths) for part in (self.counts, self.A, self.G)))

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        logdet, K = eliminate(factors[0], self.A)
        xp = namespace(K, self.G)
        return Reduced(self.counts @ logdet, C - xp.einsum("uij,uijcd->cd", K, self.G))

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        (E,), (U, q, _, c, _) = directions, self.G.shape
        k, (logdet, K, F, W) = len(E), _working(factors[0], self.A)
        RR = W[:, None] @ (W @ self.G.reshape(U, q, q * c * c)).reshape(U, q, q, c * c)
        FE = F @ E[:, None]
        EFE = E[:, None, None] @ FE
        return Curvature(
            self.counts @ logdet,
            C - (K.reshape(-1) @ self.G.reshape(U * q * q, c * c)).reshape(c, c),
            E.reshape(k, q * q) @ (self.counts @ F.reshape(U, q * q)),
            -(E.reshape(k, q * q) @ RR.sum(0).reshape(q * q, c * c)).reshape(k, c, c),
            -_pairs_of_traces(FE) @ self.counts,
            both_ways((EFE.reshape(k * k, -1) @ RR.reshape(-1, c * c)).reshape(k, k, c, c)),
        )


def _working(factor: Float[Array, "q q"], A: Float[Array, "J q q"]):
    """Return log|M|, K, F = Z'V^-1Z and W = I - A K, which takes Z'W[X y] to Z'V^-1[X y]."""
    logdet, K = eliminate(factor, A)
    W = identity(A.shape[-1], A.dtype) - A @ K
    return logdet, K, W @ A, W


def _pairs_of_traces(FE: Float[Array, "k J q q"]) -> Float[Array, "k k J"]:
    """Return tr(F_j E_k F_j E_l)."""
    return namespace(FE).einsum("kjab,ljba->klj", FE, FE)
