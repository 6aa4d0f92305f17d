"""Laying out nested factors: who belongs to whom, in an order that brings equal families together."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._nested import Nested, NestedPatterns
from ._patterns import bucket, pad_rows, same_rows
from ._structure import Plan
from ._types import Array, namespace, segment_sum

MOST_PADDING = 3  # slots for each level, beyond which families are not padded


@dataclass(frozen=True)
class NestedPlan(Plan):
    """Which slot every level of every factor takes, and the z of each row, innermost factor first.

    Attributes
    ----------
    slots
        For each factor, the slot of every level: families side by side, padded to the largest.
    parents
        For each factor but the outermost, the slots of the parents where families are not padded.
    pattern
        Pattern of each outermost level; `None` while tracing, and where families are not padded.
    n_slots
        For each factor, the number of slots.
    order
        Position of each factor among the terms of the design.
    """

    terms: tuple[RandomTerm, ...]
    slots: tuple[Int[np.ndarray, " J"], ...]
    parents: tuple[Int[np.ndarray, " slots"] | None, ...]
    pattern: Int[np.ndarray, " J"] | None
    n_slots: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def build(cls, terms: tuple[RandomTerm, ...], order: tuple[int, ...]) -> "NestedPlan":
        """Lay out the factors, `order` naming them innermost first."""
        inner_first = tuple(terms[t] for t in order)
        parents = [parent_levels(inner, outer) for inner, outer in pairwise(inner_first)]
        known = namespace(*(term.z for term in terms)) is np
        alike = _patterns(inner_first, parents) if known else [np.zeros(t.n_levels) for t in inner_first]
        slots, sizes = [np.arange(inner_first[-1].n_levels)], [inner_first[-1].n_levels]
        by_slot: list[np.ndarray | None] = []
        for parent, pattern in zip(reversed(parents), reversed(alike[:-1]), strict=True):
            rank, largest = _ranks(parent, pattern)
            above = slots[-1][parent]
            if sizes[-1] * largest <= MOST_PADDING * len(parent):
                slots.append(above * largest + rank)
                sizes.append(sizes[-1] * largest)
                by_slot.append(None)
            else:
                in_order = np.lexsort((rank, above))
                slots.append(np.argsort(in_order))
                sizes.append(len(parent))
                by_slot.append(above[in_order].astype(np.int32))
        short = tuple(slot.astype(np.int32) for slot in reversed(slots))
        top = alike[-1] if known and not any(p is not None for p in by_slot) else None
        return cls(inner_first, short, tuple(reversed(by_slot)), top, tuple(reversed(sizes)), order)

    def attach(self, V: Float[Array, "n c"]) -> Nested:
        return Nested(self._rows(V), self.slots, self.parents, self.order)

    def compressed(self, V: Float[Array, "n c"]) -> Nested | NestedPatterns:
        if self.pattern is None:
            return self.attach(V)
        rows, c = self._rows(V), V.shape[1]
        J = self.n_slots[-1]
        families = [r.reshape(J, -1, *r.shape[1:]) for r in rows]
        products = np.concatenate([f[..., -c:].reshape(J, -1) for f in families], axis=1)
        chosen, counts, merged = _merge(self.pattern, products)
        size = bucket(len(chosen))
        ends = np.cumsum([f[0, ..., -c:].size for f in families])[:-1]
        new_rows, new_counts = [], []
        for family, product in zip(families, np.split(merged, ends, axis=1), strict=True):
            taken = family[chosen]
            taken[..., -c:] = product.reshape(*taken.shape[:-1], c)
            taken = pad_rows(taken, size)
            new_rows.append(taken.reshape(-1, *taken.shape[2:]))
            new_counts.append(np.repeat(pad_rows(counts, size), taken.shape[1]))
        return NestedPatterns(tuple(new_counts), tuple(new_rows), self.order)

    def _rows(self, V):
        """Return Z_l'W[Z_l Z_outer ... V] of every slot of every factor."""
        xp = namespace(V, *(term.z for term in self.terms))
        rows = []
        for level, term in enumerate(self.terms):
            columns = xp.concatenate([*(outer.z for outer in self.terms[level:]), V], axis=1)
            products = term.z[:, :, None] * columns[:, None, :]
            rows.append(segment_sum(products, self.slots[level][term.codes], self.n_slots[level]))
        return tuple(rows)


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


def _patterns(terms: tuple[RandomTerm, ...], parents: list[np.ndarray]) -> list[Int[np.ndarray, " J"]]:
    """Give levels of a factor that have equal z products, descendants included, equal numbers."""
    alike: list[np.ndarray] = []
    for level, term in enumerate(terms):
        columns = np.concatenate([outer.z for outer in terms[level:]], axis=1)
        products = segment_sum(term.z[:, :, None] * columns[:, None, :], term.codes, term.n_levels)
        own = same_rows(products.reshape(term.n_levels, -1))[1]
        if level:
            rank, largest = _ranks(parents[level - 1], alike[-1])
            children = np.full((term.n_levels, largest), -1)
            children[parents[level - 1], rank] = alike[-1]
            own = np.unique(np.column_stack([own, children]), axis=0, return_inverse=True)[1]
        alike.append(own)
    return alike


def _ranks(parent: np.ndarray, pattern: np.ndarray) -> tuple[Int[np.ndarray, " J"], int]:
    """Return the place of each level in its family, sorted by pattern, and the largest family's size."""
    in_order = np.lexsort((pattern, parent))
    family = np.bincount(parent)
    rank = np.empty_like(parent)
    rank[in_order] = np.arange(len(parent)) - np.repeat(np.cumsum(family) - family, family)
    return rank, int(family.max())


def _merge(pattern: np.ndarray, products: Float[np.ndarray, "J m"]):
    """Replace the products of each pattern by fewer with the same cross products, where there are any.

    Returns a level to stand for each row of the result, how often it counts, and the result.
    """
    chosen, counts, merged = [], [], []
    for members in np.split(np.argsort(pattern, kind="stable"), np.cumsum(np.bincount(pattern))[:-1]):
        rows = products[members]
        if rows.shape[0] > rows.shape[1]:
            rows = np.linalg.qr(rows, mode="r")
        chosen.append(members[: len(rows)])
        counts.append(np.full(len(rows), len(members) / len(rows)))
        merged.append(rows)
    return np.concatenate(chosen), np.concatenate(counts).astype(products.dtype), np.concatenate(merged)
