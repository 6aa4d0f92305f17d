"""Grouping factors nested in one another, eliminated inside out.

Level l of the innermost factor has rows F_l = Z_l'W_l[Z_inner Z_outer ... X y]. Eliminating it takes
F_rest' K_l F_rest off the cross products of all that contains it; what remains is the same problem with
one factor fewer, so the cost is linear in the number of levels.

Every level is stored under its parent in a block as long as the largest family, padded with levels
that have no rows. Sums over children are then sums along an axis: no scatter, no gather.
"""

from itertools import pairwise

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._structure import Factors, Levels, Plan, Reduced, eliminate
from ._types import Array, namespace, segment_sum


class Nested(Levels):
    """Cross products of nested factors, innermost first.

    Attributes
    ----------
    rows
        For each factor F, shape (slots, q, q + outer q's + c).
    slots
        For each factor, the slot of every level.
    order
        Position of each factor among the terms of the design.
    """

    rows: tuple[Float[Array, "slots q w"], ...]
    slots: tuple[Int[Array, " J"], ...]
    order: tuple[int, ...] = eqx.field(static=True)

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        logdet, _, _, C = self._eliminate(factors, C)
        return Reduced(logdet, C)

    def modes(self, factors: Factors, v: Float[Array, " c"]) -> tuple[Float[Array, "J q"], ...]:
        xp = namespace(v, *self.rows)
        _, K, rest, _ = self._eliminate(factors, None)
        known = v[None, :]
        modes: list[Array] = []
        for K_l, rest_l in zip(reversed(K), reversed(rest), strict=True):
            known = xp.repeat(known, len(rest_l) // len(known), axis=0)
            b = xp.einsum("jik,jkw,jw->ji", K_l, rest_l, known)
            known = xp.concatenate([-b, known], axis=1)
            modes.append(b)
        return self._unpadded(modes)

    def mode_covariances(self, factors: Factors) -> tuple[Float[Array, "J q q"], ...]:
        xp = namespace(*self.rows)
        _, K, rest, _ = self._eliminate(factors, None)
        joint = xp.zeros((1, 0, 0), K[0].dtype)
        covariances: list[Array] = []
        for K_l, rest_l in zip(reversed(K), reversed(rest), strict=True):
            joint = xp.repeat(joint, len(rest_l) // len(joint), axis=0)
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

    def _eliminate(self, factors: Factors, C):
        """Return the log-determinant, and K and the remaining columns of F for each factor, and S."""
        xp = namespace(factors[0], *self.rows)
        rows, K, rest, logdet = list(self.rows), [], [], 0.0
        for level, t in enumerate(self.order):
            q = rows[level].shape[1]
            own, outer = rows[level][:, :, :q], rows[level][:, :, q:]
            log_dets, K_l = eliminate(factors[t], own)
            taken = xp.einsum("jiv,jik,jkw->jvw", outer, K_l, outer)
            first = 0
            for above in range(level + 1, len(rows)):
                size, width = rows[above].shape[:2]
                taken = taken.reshape(size, -1, *taken.shape[1:]).sum(1)
                rows[above] = rows[above] - taken[:, first : first + width, first:]
                first += width
            if C is not None:
                C = C - taken.sum(0)[first:, first:]
            logdet = logdet + log_dets.sum()
            K.append(K_l)
            rest.append(outer)
        return logdet, K, rest, C

    def _unpadded(self, padded: list) -> tuple:
        """Pick the real levels, and put outermost-first results in the order of the terms."""
        by_term = {
            t: values[slots]
            for t, values, slots in zip(self.order, reversed(padded), self.slots, strict=True)
        }
        return tuple(by_term[t] for t in sorted(by_term))


class NestedPlan(Plan):
    """Which slot every level of every factor takes, and the z of each row, innermost factor first."""

    terms: tuple[RandomTerm, ...]
    slots: tuple[Int[np.ndarray, " J"], ...]
    n_slots: tuple[int, ...] = eqx.field(static=True)
    order: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def build(cls, terms: tuple[RandomTerm, ...], order: tuple[int, ...]) -> "NestedPlan":
        """Lay out the factors, `order` naming them innermost first."""
        inner_first = [terms[t] for t in order]
        slots, sizes = [np.arange(inner_first[-1].n_levels)], [inner_first[-1].n_levels]
        for inner, outer in reversed(list(pairwise(inner_first))):
            parent = parent_levels(inner, outer)
            family = np.bincount(parent, minlength=outer.n_levels)
            by_parent = np.argsort(parent, kind="stable")
            rank = np.empty_like(parent)
            rank[by_parent] = np.arange(len(parent)) - np.repeat(np.cumsum(family) - family, family)
            slots.append(slots[-1][parent] * family.max() + rank)
            sizes.append(int(sizes[-1] * family.max()))
        slots = [slot.astype(np.int32) for slot in reversed(slots)]
        return cls(tuple(inner_first), tuple(slots), tuple(reversed(sizes)), order)

    def attach(self, V: Float[Array, "n c"]) -> Nested:
        xp = namespace(V, *(term.z for term in self.terms))
        rows = []
        for level, term in enumerate(self.terms):
            columns = xp.concatenate([*(outer.z for outer in self.terms[level:]), V], axis=1)
            products = term.z[:, :, None] * columns[:, None, :]
            rows.append(segment_sum(products, self.slots[level][term.codes], self.n_slots[level]))
        return Nested(tuple(rows), self.slots, self.order)

    compressed = attach


def parent_levels(inner: RandomTerm, outer: RandomTerm) -> Int[np.ndarray, " J"]:
    """Return the level of `outer` that holds each level of `inner`, if each is held by one only."""
    parent = np.zeros(inner.n_levels, np.int64)
    parent[np.asarray(inner.codes)] = np.asarray(outer.codes)
    return parent


def nesting_order(terms: tuple[RandomTerm, ...]) -> tuple[int, ...] | None:
    """Return the terms innermost first if each is nested in the next, else `None`."""
    order = sorted(range(len(terms)), key=lambda t: -terms[t].n_levels)
    for inner, outer in pairwise(order):
        parent = parent_levels(terms[inner], terms[outer])
        if not np.array_equal(parent[np.asarray(terms[inner].codes)], np.asarray(terms[outer].codes)):
            return None
    return tuple(order)
