"""Laying out nested factors: who belongs to whom, in an order that brings equal families together."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._nested import Nested, NestedPatterns
from ._nested_merge import merge_families
from ._patterns import bucket, pad_rows, same_rows
from ._plan import Plan, Products
from ._products import level_products
from ._structure import Structure
from ._types import Array, namespace, segment_sum

MOST_PADDING = 3  # slots for each level, beyond which families are not padded


@dataclass(frozen=True)
class NestedPlan(Plan):
    """Which slot every level of every factor takes, and the z of each row, innermost factor first.

    Attributes
    ----------
    own
        For each factor, Z_l'W[Z_l Z_outer ...] of every slot.
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
    own: tuple[Float[Array, "slots q w"], ...]
    slots: tuple[Int[np.ndarray, " J"], ...]
    parents: tuple[Int[np.ndarray, " slots"] | None, ...]
    pattern: Int[np.ndarray, " J"] | None
    n_slots: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def build(
        cls, terms: tuple[RandomTerm, ...], Q: Float[Array, "n p"], order: tuple[int, ...]
    ) -> "NestedPlan":
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
        n_slots = tuple(reversed(sizes))
        own = tuple(_own_products(inner_first, level, short, n_slots) for level in range(len(order)))
        return cls(Q, inner_first, own, short, tuple(reversed(by_slot)), top, n_slots, order)

    def products(self, V: Float[Array, "n m"]) -> Products:
        return tuple(
            level_products(term.z, slots[np.asarray(term.codes)], size, V)
            for term, slots, size in zip(self.terms, self.slots, self.n_slots, strict=True)
        )

    def arranged(self, by_term: Products) -> Products:
        return tuple(
            segment_sum(by_term[t], slots, size)
            for t, slots, size in zip(self.order, self.slots, self.n_slots, strict=True)
        )

    def levels(self, products: Products) -> Nested:
        return Nested(_beside(self.own, products), self.slots, self.parents, self.order)

    def merge(self, products: Products) -> Structure:
        if self.pattern is None:
            return self.levels(products)
        only = self._merged(tuple(P[..., :-1] for P in products), tuple(P[..., -1:] for P in products))
        return NestedPatterns(only.counts, tuple(rows[0] for rows in only.rows), self.order)

    def merge_many(self, fixed: Products, own: Products) -> Structure:
        if self.pattern is None:
            return super().merge_many(fixed, own)
        return self._merged(fixed, own)

    def _merged(self, fixed: Products, own: Products) -> NestedPatterns:
        """Merge families, for each of several responses, and pad to a number that recurs."""
        assert self.pattern is not None
        J = self.n_slots[-1]
        merged = merge_families(self.pattern, fixed, own, J)
        size, counts, lent, products = bucket(len(merged.chosen)), [], [], []
        for rows, product in zip(self.own, merged.products, strict=True):
            family = pad_rows(rows.reshape(J, -1, *rows.shape[1:])[merged.chosen], size)
            counts.append(np.repeat(pad_rows(merged.counts, size), family.shape[1]))
            lent.append(family.reshape(-1, *family.shape[2:]))
            product = pad_rows(product, size, axis=1)
            products.append(product.reshape(len(product), -1, *product.shape[3:]))
        return NestedPatterns(tuple(counts), _beside(lent, products), self.order)


def _beside(own, products):
    """Return Z_l'W[Z_l Z_outer ... V] from its two parts; products may have leading axes."""
    xp = namespace(*own, *products)
    return tuple(
        xp.concatenate([xp.broadcast_to(a, (*b.shape[:-2], *a.shape[-2:])), b], axis=-1)
        for a, b in zip(own, products, strict=True)
    )


def _own_products(terms, level: int, slots, n_slots):
    """Return Z_l'W[Z_l Z_outer ...] of every slot of one factor."""
    term, columns = terms[level], _outer_columns(terms, level)
    return level_products(term.z, slots[level][np.asarray(term.codes)], n_slots[level], columns)


def _outer_columns(terms, level: int):
    """Return the z's of a factor and of those outside it, side by side."""
    return namespace(*(term.z for term in terms)).concatenate([term.z for term in terms[level:]], axis=1)


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
        products = level_products(term.z, term.codes, term.n_levels, _outer_columns(terms, level))
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
