"""Grouping factors nested in one another, eliminated inside out.

Level l of the innermost factor has rows F_l = Z_l'W_l[Z_inner Z_outer ... X y]. Eliminating it takes
F_rest' K_l F_rest off the cross products of all that contains it; what remains is the same problem with
one factor fewer, so the cost is linear in the number of levels.

Every level is stored under its parent in a block as long as the largest family, padded with levels
that have no rows. Sums over children are then sums along an axis: no scatter, no gather. Only where
families differ so much that most of the blocks would be padding are they summed by parent.

What an outermost level adds to S is a quadratic form in all its products with [X y], those of its
descendants included, and the form depends on the z's alone. Outermost levels that agree in these form a
pattern, whose products may be replaced by any others with the same cross products: by the triangle R of
their QR decomposition.
"""

from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._structure import Between, Factors, Levels, Reduced, Structure, between, eliminate
from ._types import Array, namespace, segment_sum


class Nested(Levels):
    """Cross products of nested factors, innermost first.

    Attributes
    ----------
    rows
        For each factor F, shape (slots, q, q + outer q's + c).
    slots
        For each factor, the slot of every level.
    parents
        For each factor but the outermost, the slot of every slot's parent, or `None` for equal blocks.
    order
        Position of each factor among the terms of the design.
    """

    rows: tuple[Float[Array, "slots q w"], ...]
    slots: tuple[Int[Array, " J"], ...]
    parents: tuple[Int[Array, " slots"] | None, ...]
    order: tuple[int, ...] = eqx.field(static=True)

    def between(self) -> tuple[Between, ...]:
        return _between_all(self.rows, self.order, None)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        return _eliminate_all(self.rows, self.parents, self.order, factors, C).reduced

    def modes(self, factors: Factors, v: Float[Array, " c"]) -> tuple[Float[Array, "J q"], ...]:
        xp = namespace(v, *self.rows)
        _, K, rest = self._eliminated(factors)
        known = v[None, :]
        modes: list[Array] = []
        for K_l, rest_l, parent in self._inwards(K, rest):
            known = _to_children(known, parent, len(rest_l))
            b = xp.einsum("jik,jkw,jw->ji", K_l, rest_l, known)
            known = xp.concatenate([-b, known], axis=1)
            modes.append(b)
        return self._unpadded(modes)

    def mode_covariances(self, factors: Factors) -> tuple[Float[Array, "J q q"], ...]:
        xp = namespace(*self.rows)
        _, K, rest = self._eliminated(factors)
        joint = xp.zeros((1, 0, 0), K[0].dtype)
        covariances: list[Array] = []
        for K_l, rest_l, parent in self._inwards(K, rest):
            joint = _to_children(joint, parent, len(rest_l))
            slope = -K_l @ rest_l[:, :, : joint.shape[1]]
            cross = slope @ joint
            own = K_l + cross @ xp.swapaxes(slope, 1, 2)
            joint = xp.concatenate(
                [
                    xp.concatenate([own, cross], axis=2),
                    xp.concatenate([xp.swapaxes(cross, 1, 2), joint], axis=2),
                ],
                axis=1,
            )
            covariances.append(own)
        return self._unpadded(covariances)

    def _eliminated(self, factors: Factors) -> "Eliminated":
        c = self.rows[-1].shape[2] - self.rows[-1].shape[1]
        C = np.zeros((c, c), self.rows[0].dtype)
        return _eliminate_all(self.rows, self.parents, self.order, factors, C)

    def _inwards(self, K: list, rest: list):
        """Go through the factors from the outermost to the innermost."""
        return zip(reversed(K), reversed(rest), [None, *reversed(self.parents)], strict=True)

    def _unpadded(self, padded: list) -> tuple:
        """Pick the real levels, and put outermost-first results in the order of the terms."""
        by_term = {
            t: values[slots]
            for t, values, slots in zip(self.order, reversed(padded), self.slots, strict=True)
        }
        return tuple(by_term[t] for t in sorted(by_term))


class NestedPatterns(Structure):
    """Cross products of nested factors with outermost levels of one pattern merged.

    `counts` weighs the log-determinants: each of the r stand-ins for m levels counts m / r times.
    """

    counts: tuple[Float[Array, " slots"], ...]
    rows: tuple[Float[Array, "slots q w"], ...]
    order: tuple[int, ...] = eqx.field(static=True)

    def between(self) -> tuple[Between, ...]:
        return _between_all(self.rows, self.order, self.counts)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        parents = (None,) * (len(self.rows) - 1)
        return _eliminate_all(self.rows, parents, self.order, factors, C, self.counts).reduced


class Eliminated(NamedTuple):
    """The result of eliminating all factors: K and the columns still to be eliminated, for each factor."""

    reduced: Reduced
    K: list[Float[Array, "slots q q"]]
    rest: list[Float[Array, "slots q v"]]


def _to_parents(values, parent, size: int):
    """Sum over the children of each parent."""
    if parent is None:
        return values.reshape(size, -1, *values.shape[1:]).sum(1)
    return segment_sum(values, parent, size)


def _to_children(values, parent, size: int):
    """Give every child its parent's value."""
    return namespace(values).repeat(values, size // len(values), axis=0) if parent is None else values[parent]


def _between_all(rows, order, counts) -> tuple[Between, ...]:
    xp = namespace(*rows)
    by_term = {}
    for level, (t, row) in enumerate(zip(order, rows, strict=True)):
        a = xp.diagonal(row, axis1=1, axis2=2)
        weights = xp.ones_like(a[:, 0]) if counts is None else counts[level]
        by_term[t] = between(a, row[:, :, -1] ** 2, weights)
    return tuple(by_term[t] for t in sorted(by_term))


def _eliminate_all(rows, parents, order, factors: Factors, C, counts=None) -> Eliminated:
    xp = namespace(factors[0], *rows)
    rows, K, rest = list(rows), [], []
    logdet = xp.zeros((), C.dtype)
    for level, t in enumerate(order):
        q = rows[level].shape[1]
        own, outer = rows[level][:, :, :q], rows[level][:, :, q:]
        log_dets, K_l = eliminate(factors[t], own)
        taken = xp.einsum("jiv,jik,jkw->jvw", outer, K_l, outer)
        first = 0
        for above in range(level + 1, len(rows)):
            size, width = rows[above].shape[:2]
            taken = _to_parents(taken, parents[above - 1], size)
            rows[above] = rows[above] - taken[:, first : first + width, first:]
            first += width
        C = C - taken.sum(0)[first:, first:]
        logdet = logdet + (log_dets.sum() if counts is None else counts[level] @ log_dets)
        K.append(K_l)
        rest.append(outer)
    return Eliminated(Reduced(logdet, C), K, rest)
