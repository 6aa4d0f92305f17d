"""Balanced designs with random intercepts: one variance for each stratum.

Where every level of a factor has as many rows, and factors are nested in one another or meet in proportion,
the rows fall into strata, orthogonal spaces P_s of d_s dimensions, such that every factor's Z'Z is a multiple
of the identity and Z Z' of some of the P_s. Then

    V = sum_s lambda_s P_s,     lambda_s = 1 + sum_t N_st psi_t,
    logdet = sum_s d_s log lambda_s,     S = C - sum_s (1 - 1 / lambda_s) G_s,     G_s = [X y]'P_s[X y],

at a cost that depends on the number of levels no more than on that of rows (Nelder 1965,
doi:10.1098/rspa.1965.0012; Tjur 1984, doi:10.2307/1403222). The residuals are the stratum that is left, of
lambda 1.
"""

from jaxtyping import Float

from ._between import Between
from ._elimination import Shifted
from ._patterns import pad_rows
from ._structure import Curvature, Directions, Factors, Reduced, Structure
from ._types import Array, Scalar, namespace


class Strata(Structure):
    """Cross products of each stratum but that of the residuals, those of the terms first, in their order.

    Attributes
    ----------
    degrees
        Dimensions d_s, shape (S,).
    sizes
        N_st, how often the variance of each term is in that of a stratum, shape (S, T).
    G
        [X y]'P_s[X y], shape (S, c, c).
    """

    degrees: Float[Array, " S"]
    sizes: Float[Array, "S T"]
    G: Float[Array, "S c c"]

    def between(self, reml: bool) -> tuple[Between, ...]:
        xp, terms = namespace(self.G), range(self.sizes.shape[1])
        squares, taken = self.G[:, -1, -1], xp.einsum("scc->s", self.G[:, :-1, :-1])
        levels = xp.maximum(self.degrees - taken, 0.0) if reml else self.degrees
        variances = squares / xp.maximum(levels, 1.0)

        def stratum(t: int) -> Between:
            within = [xp.where(self.sizes[t, s] > 0, variances[s], 0.0) for s in terms if s != t]
            rows = (self.sizes[t, t] * levels[t]).reshape(1, 1, 1, 1)
            noise = xp.stack(within).max(0, keepdims=True) if within else None
            return Between(squares[t].reshape(1, 1), levels[t : t + 1], rows, noise)

        return tuple(map(stratum, terms))

    @property
    def lengths(self) -> tuple[int, ...]:
        return (len(self.degrees),)

    def extended(self, lengths: tuple[int, ...]) -> "Strata":
        return Strata(*(pad_rows(part, *lengths) for part in (self.degrees, self.sizes, self.G)))

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        return self._reduced(self.variances(factors), C)

    def _reduced(self, variances: Float[Array, " S"], C: Float[Array, "c c"]) -> Reduced:
        xp = namespace(variances, self.G)
        return Reduced(
            self.degrees @ xp.log(variances), C - xp.einsum("s,scd->cd", 1 - 1 / variances, self.G)
        )

    def variances(self, factors: Factors) -> Float[Array, " S"]:
        """Return lambda_s at the given Lambda of each factor."""
        psi = [_variance(factor) for factor in factors]
        return 1 + self.sizes @ namespace(*psi).stack(psi)

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        variances, (S, c, _) = self.variances(factors), self.G.shape
        xp = namespace(variances, self.G)
        slopes = xp.concatenate(
            [E[:, :1, 0] * size / variances for E, size in zip(directions, self.sizes.T, strict=True)]
        )
        k, within = len(slopes), self.G.reshape(S, c * c) / variances[:, None]
        pairs = slopes[:, None] * slopes
        return Curvature(
            *self._reduced(variances, C),
            slopes @ self.degrees,
            -(slopes @ within).reshape(k, c, c),
            -pairs @ self.degrees,
            2 * (pairs @ within).reshape(k, k, c, c),
        )


def _variance(factor: Float[Array, "1 1"] | Shifted) -> Scalar:
    """Return Lambda Lambda', relative to sigma^2."""
    if isinstance(factor, Shifted):
        return factor.factor[0, 0] ** 2 + factor.shift[0, 0]
    return factor[0, 0] ** 2
