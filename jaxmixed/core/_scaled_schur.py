"""The Schur complement of crossed factors as something that multiplies: never formed, never factored.

With e the factor of most levels and o the others, and P the blocks of S_oo that belong to single levels,

    S_oo = Lambda_o'(A_oo - sum_j A_oj K_j A_jo)Lambda_o + I,     P = L L',     B = L^-1 S_oo L^-T.

B has an identity in place of every such block. Where the factors cross well the rest is small, and but for
a few directions B is all but the identity: what is common to all levels of one factor can hardly be told
from what is common to all levels of another.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from ._elimination import eliminate
from ._krylov import Columns
from ._meetings import Meetings
from ._node import Node, static
from ._structure import Factors
from ._types import Array, Scalar


class Crossings(Node):
    """Z'WZ of crossed factors: one has been singled out, e, and the others are o.

    Attributes
    ----------
    A
        Z'WZ of each level of e.
    A_others
        Z'WZ of each level of each other factor.
    couplings
        Where e meets each of the others.
    among, pairs
        Where the others meet each other, and which these are.
    """

    A: Float[Array, "J q q"]
    A_others: Columns
    couplings: tuple[Meetings, ...]
    among: tuple[Meetings, ...]
    pairs: tuple[tuple[int, int], ...] = static()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Levels and columns of each of the others."""
        return tuple(A.shape[:2] for A in self.A_others)

    def to_own(self, b: Columns) -> Float[Array, "J q m"]:
        """Return A_eo b."""
        products = [m.to_first(b_t) for m, b_t in zip(self.couplings, b, strict=True)]
        return jnp.stack(products).sum(0)

    def to_others(self, b: Float[Array, "J q m"]) -> Columns:
        """Return A_oe b."""
        return tuple(m.to_second(b) for m in self.couplings)

    def within_others(self, b: Columns) -> Columns:
        """Return A_oo b."""
        y = [A @ b_t for A, b_t in zip(self.A_others, b, strict=True)]
        for (s, t), meetings in zip(self.pairs, self.among, strict=True):
            y[s] = y[s] + meetings.to_first(b[t])
            y[t] = y[t] + meetings.to_second(b[s])
        return tuple(y)


class ScaledSchur(Node):
    """B = L^-1 S_oo L^-T at one Lambda of each factor.

    Attributes
    ----------
    crossings
        Z'WZ.
    K
        Lambda M_j^-1 Lambda' of each level of e.
    roots, units
        Lambda L^-T and L^-1 L^-T of each level of each other factor; b = Lambda L^-T x.
    """

    crossings: Crossings
    K: Float[Array, "J q q"]
    roots: Columns
    units: Columns

    def __call__(self, x: Columns) -> Columns:
        """Return B x."""
        y = self.schur_times(self.effects(x))
        scaled = zip(self.units, x, self.roots, y, strict=True)
        return tuple(unit @ x_t + R.swapaxes(1, 2) @ y_t for unit, x_t, R, y_t in scaled)

    def effects(self, x: Columns) -> Columns:
        """Return Lambda L^-T x."""
        return tuple(R @ x_t for R, x_t in zip(self.roots, x, strict=True))

    def schur_times(self, b: Columns) -> Columns:
        """Return (A_oo - A_oe K A_eo) b."""
        return self.without_own(self.crossings.to_own(b), self.crossings.within_others(b))

    def without_own(self, own: Float[Array, "J q m"], others: Columns) -> Columns:
        """Eliminate e from products of the random effects with some columns."""
        moved = self.crossings.to_others(self.K @ own)
        return tuple(y - m for y, m in zip(others, moved, strict=True))

    def onto(self, own: Float[Array, "J q m"], others: Columns) -> Columns:
        """Return L^-1 Lambda_o'(B_o - A_oe K B_e)."""
        y = self.without_own(own, others)
        return tuple(R.swapaxes(1, 2) @ y_t for R, y_t in zip(self.roots, y, strict=True))


class Scaled(NamedTuple):
    """The Schur complement, scaled.

    Attributes
    ----------
    logdet
        sum_j log|M_j| + log|P|.
    B
        What is left of it.
    turned
        L' of each level of each other factor.
    """

    logdet: Scalar
    B: ScaledSchur
    turned: Columns


def scaled_schur(crossings: Crossings, factors: Factors) -> Scaled:
    """Eliminate e, and scale what is left; Lambda of e comes first, those of the others follow."""
    logdets, K = eliminate(factors[0], crossings.A)
    parts = zip(crossings.A_others, crossings.couplings, factors[1:], strict=True)
    blocks = [own_blocks(A, coupling.squares_to_second(K), factor) for A, coupling, factor in parts]
    roots, units = tuple(block.root for block in blocks), tuple(block.unit for block in blocks)
    logdet = logdets.sum() + sum(block.logdet for block in blocks)
    return Scaled(logdet, ScaledSchur(crossings, K, roots, units), tuple(block.turned for block in blocks))


class Blocks(NamedTuple):
    """What P_j = Lambda'(A_j - filled_j)Lambda + I = L_j L_j' is needed for.

    Attributes
    ----------
    logdet
        sum_j log|P_j|.
    root, unit, turned
        Lambda L_j^-T, L_j^-1 L_j^-T and L_j', shapes (J, q, q).
    """

    logdet: Scalar
    root: Float[Array, "J q q"]
    unit: Float[Array, "J q q"]
    turned: Float[Array, "J q q"]


def own_blocks(
    A: Float[Array, "J q q"], filled: Float[Array, "J q q"], factor: Float[Array, "q q"]
) -> Blocks:
    """Factor the blocks of the Schur complement that belong to single levels."""
    P = factor.T @ (A - filled) @ factor + jnp.eye(len(factor), dtype=A.dtype)
    inverse = inverse_root(P)
    upper = inverse.swapaxes(1, 2)
    logdet = -2 * jnp.log(jnp.diagonal(inverse, axis1=1, axis2=2)).sum()
    return Blocks(logdet, factor @ upper, inverse @ upper, inverse @ P)


def inverse_root(P: Float[Array, "J q q"]) -> Float[Array, "J q q"]:
    """Return L^-1 of each level, P = L L', written out column by column."""
    q = P.shape[-1]
    rows: list[list[Array]] = []
    inverse: list[list[Array]] = []
    for i in range(q):
        row = []
        for j in range(i):
            row.append((P[:, i, j] - sum(row[k] * rows[j][k] for k in range(j))) / rows[j][j])
        row.append(jnp.sqrt(P[:, i, i] - sum(x * x for x in row)))
        rows.append(row)
        below = [-sum(row[k] * inverse[k][j] for k in range(j, i)) / row[i] for j in range(i)]
        inverse.append([*below, 1 / row[i], *[jnp.zeros_like(row[i])] * (q - 1 - i)])
    return jnp.stack([jnp.stack(row, axis=-1) for row in inverse], axis=-2)
