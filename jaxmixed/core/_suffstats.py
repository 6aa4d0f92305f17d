"""What is left of the rows: cross products in conditioned coordinates, and the way back from these."""

from jaxtyping import Float

from ._covariance import Blocks, pack_all, relative_factors
from ._node import Node, static
from ._structure import Structure
from ._triangular import solve_lower
from ._types import Array, Scalar, Theta


class SuffStats(Node):
    """Sufficient statistics of a linear mixed model, in conditioned coordinates.

    Attributes
    ----------
    structure
        Cross products of the random effects with themselves and with [Q u].
    C
        [Q u]'[Q u], shape (c, c).
    R, gamma_ols, scale, T
        What carries results back: X = Q R, y - offset = Q gamma_ols + scale * u and z = z~ T.
    n, log_weights
        Number of rows, and the sum of the logarithms of the prior weights.
    blocks
        For each grouping factor, the block sizes of its relative covariance factor.
    """

    structure: Structure
    C: Float[Array, "c c"]
    R: Float[Array, "p p"]
    gamma_ols: Float[Array, " p"]
    scale: Scalar
    T: tuple[Float[Array, "q q"], ...]
    n: Scalar
    log_weights: Scalar
    blocks: tuple[Blocks, ...] = static()

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.R.shape[0]


def with_rows(stats: SuffStats, structure: Structure, C: Array, n: Array, log_weights: Array) -> SuffStats:
    """Return statistics of other rows in the same coordinates."""
    R, gamma_ols, scale, T = stats.R, stats.gamma_ols, stats.scale, stats.T
    return SuffStats(structure, C, R, gamma_ols, scale, T, n, log_weights, stats.blocks)


def conditioned_factors(theta: Theta, stats: SuffStats) -> list[Float[Array, "q q"]]:
    """Return T Lambda(theta) of each factor."""
    return [T @ L for T, L in zip(stats.T, relative_factors(theta, stats.blocks), strict=True)]


def conditioned(theta: Theta, stats: SuffStats) -> Theta:
    """Return theta in the coordinates of z~."""
    return pack_all(conditioned_factors(theta, stats), stats.blocks)


def unconditioned(theta: Theta, stats: SuffStats) -> Theta:
    """Return theta in the coordinates of z, undoing `conditioned`."""
    factors = relative_factors(theta, stats.blocks)
    return pack_all([solve_lower(T, L) for T, L in zip(stats.T, factors, strict=True)], stats.blocks)
