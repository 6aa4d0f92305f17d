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

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._between import Between, between
from ._elimination import eliminate
from ._nested_posterior import NestedPosterior
from ._node import static
from ._patterns import pad_rows
from ._structure import Factors, Levels, Reduced, Structure
from ._types import Array, namespace, pad, segment_sum


class Nested(Levels):
    """Cross products of nested factors, innermost first.

    Attributes
    ----------
    rows
        For each factor F, shape (slots, q, q + outer q's + c).
    slots
        For each factor, the slot of every level; nothing where it has been extended.
    parents
        For each factor but the outermost, the slot of every slot's parent, or `None` for equal blocks.
    order
        Position of each factor among the terms of the design.
    """

    rows: tuple[Float[Array, "slots q w"], ...]
    slots: tuple[Int[Array, " J"], ...]
    parents: tuple[Int[Array, " slots"] | None, ...]
    order: tuple[int, ...] = static()

    def between(self, reml: bool) -> tuple[Between, ...]:
        return _between_all(self.rows, self.parents, self.order, reml)

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(map(len, self.rows))

    def extended(self, lengths: tuple[int, ...]) -> "Nested":
        """Extend it, every slot naming its parent; which level a slot is of is lost."""
        rows = tuple(pad_rows(row, size) for row, size in zip(self.rows, lengths, strict=True))
        parents = []
        for parent, own, above, size in zip(
            self.parents, self.lengths, self.lengths[1:], lengths, strict=False
        ):
            known = np.arange(own) // (own // above) if parent is None else parent
            parents.append(pad_rows(known.astype(np.int32), size))
        return Nested(rows, (), tuple(parents), self.order)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        return _eliminate_all(self.rows, self.parents, self.order, factors, C).reduced

    def posterior(self, factors: Factors, C: Float[Array, "c c"]) -> NestedPosterior:
        reduced, K, rest = _eliminate_all(self.rows, self.parents, self.order, factors, C)
        return NestedPosterior(reduced, tuple(K), tuple(rest), self.slots, self.parents, self.order)


class NestedPatterns(Structure):
    """Cross products of nested factors with outermost levels of one pattern merged.

    `counts` weighs the log-determinants: each of the r stand-ins for m levels counts m / r times.
    """

    counts: tuple[Float[Array, " slots"], ...]
    rows: tuple[Float[Array, "slots q w"], ...]
    order: tuple[int, ...] = static()

    def between(self, reml: bool) -> tuple[Between, ...]:
        return _between_all(self.rows, self._parents, self.order, reml, self.counts)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of outermost slots, and of slots in the families of each further factor, going inwards."""
        slots = [1, *map(len, reversed(self.rows))]
        return tuple(own // above for above, own in pairwise(slots))

    def extended(self, lengths: tuple[int, ...]) -> "NestedPatterns":
        def extend(array: np.ndarray, depth: int) -> np.ndarray:
            by_family = array.reshape(*self.lengths[:depth], *array.shape[1:])
            for axis, size in enumerate(lengths[:depth]):
                by_family = pad_rows(by_family, size, axis)
            return by_family.reshape(-1, *array.shape[1:])

        depths = range(len(self.rows), 0, -1)
        counts, rows = (tuple(map(extend, part, depths)) for part in (self.counts, self.rows))
        return NestedPatterns(counts, rows, self.order)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        return _eliminate_all(self.rows, self._parents, self.order, factors, C, self.counts).reduced

    @property
    def _parents(self) -> tuple[None, ...]:
        """Nothing for each factor but the outermost: families are equal blocks."""
        return (None,) * (len(self.rows) - 1)


class Eliminated(NamedTuple):
    """The result of eliminating all factors: K and the columns still to be eliminated, for each factor."""

    reduced: Reduced
    K: list[Float[Array, "slots q q"]]
    rest: list[Float[Array, "slots q v"]]


def to_parents(values, parent, size: int):
    """Sum over the children of each parent."""
    if parent is None:
        return values.reshape(size, -1, *values.shape[1:]).sum(1)
    return segment_sum(values, parent, size)


def _between_all(rows, parents, order, reml: bool, counts=None) -> tuple[Between, ...]:
    """Return the strata of an analysis of variance, each column compared with the same one around it."""
    xp, noise, by_term = namespace(*rows), None, {}
    c = rows[-1].shape[2] - rows[-1].shape[1]
    A = [row[:, :, : row.shape[1]] for row in rows]
    counts = [xp.ones_like(each[:, 0, 0]) for each in A] if counts is None else counts
    strata = [
        between(own, row[:, :, -c:], reml, alike) for own, row, alike in zip(A, rows, counts, strict=True)
    ]
    a = [xp.diagonal(each, axis1=1, axis2=2) for each in A]
    for level, t in enumerate(order):
        own = strata[level]
        if level + 1 < len(rows):
            within = _Family(a[level], counts[level], parents[level], a[level + 1], counts[level + 1])
            own = _beyond(own, strata[level + 1], within)
        by_term[t] = own._replace(noise=None if noise is None else _first(len(own.levels), noise))
        noise = own.squares / xp.maximum(own.levels, 1)
    return tuple(by_term[t] for t in sorted(by_term))


class _Family(NamedTuple):
    """Sizes a and counts of the levels of a factor, its parents, and sizes and counts of these."""

    a: Float[Array, "J q"]
    counts: Float[Array, " J"]
    parents: Int[Array, " J"] | None
    around: Float[Array, "I r"]
    counts_around: Float[Array, " I"]


def _beyond(own: Between, outer: Between, family: _Family) -> Between:
    """Return what a factor explains beyond the one around it.

    Its rows are n - sum_i sum_j a_ij^2 / a_i, of levels j in i, in proportion to the levels that Q leaves.
    """
    xp, q = namespace(family.a), len(own.levels)
    around = _first(q, family.around)
    shared = to_parents(family.a**2, family.parents, len(around)) / xp.where(around > 0, around, 1.0)
    alone = family.counts @ family.a - family.counts_around @ xp.where(around > 0, shared, 0.0)
    every = family.counts @ (family.a > 0) - family.counts_around @ (around > 0)
    levels = own.levels - _first(q, outer.levels)
    left = alone * levels / xp.maximum(every, 1.0) / xp.where(own.own_rows > 0, own.own_rows, 1.0)
    root = xp.sqrt(xp.maximum(left, 0.0))
    rows = own.rows * (left if own.rows.ndim == 1 else (root[:, None] * root)[:, :, None, None])
    moments = own.moments - _first(q, _first(q, outer.moments).T).T
    return own._replace(moments=moments, levels=levels, rows=rows)


def _first(q: int, columns: Float[Array, "*J r"]) -> Float[Array, "*J q"]:
    """Return the first q columns, zero where there are fewer."""
    return pad(columns[..., :q], [*[(0, 0)] * (columns.ndim - 1), (0, max(q - columns.shape[-1], 0))])


def _eliminate_all(rows, parents, order, factors: Factors, C, counts=None) -> Eliminated:
    rows, K, rest = list(rows), [], []
    logdet = C[0, 0] * 0
    for level, t in enumerate(order):
        q = rows[level].shape[1]
        own, outer = rows[level][:, :, :q], rows[level][:, :, q:]
        log_dets, K_l = eliminate(factors[t], own)
        taken = namespace(K_l, outer).einsum("jiv,jik,jkw->jvw", outer, K_l, outer)
        first = 0
        for above in range(level + 1, len(rows)):
            size, width = rows[above].shape[:2]
            taken = to_parents(taken, parents[above - 1], size)
            rows[above] = rows[above] - taken[:, first : first + width, first:]
            first += width
        C = C - taken.sum(0)[first:, first:]
        logdet = logdet + (log_dets.sum() if counts is None else counts[level] @ log_dets)
        K.append(K_l)
        rest.append(outer)
    return Eliminated(Reduced(logdet, C), K, rest)
