"""Laying out crossed factors: which levels meet, and which pairs of meetings share a level."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ._couplings import Couplings, DenseCouplings, SparseCouplings, count_pairs
from ._crossed import Crossed, Sizes
from ._design import RandomTerm
from ._products import level_products
from ._structure import Plan, Products
from ._types import Array, namespace, segment_sum

DENSE_COPIES = 6  # D x D arrays alive at once while fitting
DENSE_FILL = 0.003  # pairs for each multiplication of the dense form, from where on the dense form is faster
MEMORY_LIMIT = 16 * 2**30  # bytes that these copies may take


@dataclass(frozen=True)
class CrossedPlan(Plan):
    """The part of the cross products of crossed factors that does not depend on [X y]."""

    terms: tuple[RandomTerm, ...]
    A: Float[Array, "J q q"]
    couplings: Couplings
    A_others: Float[Array, "D D"]
    sizes: Sizes
    order: tuple[int, ...]

    @classmethod
    def build(cls, terms: tuple[RandomTerm, ...]) -> "CrossedPlan":
        """Lay out the factors, the one with most levels eliminated and the others dense."""
        order = tuple(sorted(range(len(terms)), key=lambda t: -terms[t].n_levels))
        eliminated, others = terms[order[0]], [terms[t] for t in order[1:]]
        sizes = tuple((term.n_levels, term.z.shape[1]) for term in others)
        first = np.cumsum([0, *(J * q for J, q in sizes)])
        D = int(first[-1])
        _check_memory(D, terms, order, eliminated.z.dtype.itemsize)
        z = eliminated.z
        A = segment_sum(z[:, :, None] * z[:, None, :], eliminated.codes, eliminated.n_levels)
        couplings = _couple(eliminated, others, first[:-1], D)
        return cls(terms, A, couplings, _dense_products(others, first[:-1], D), sizes, order)

    def products(self, V: Float[Array, "n m"]) -> Products:
        in_order = (self.terms[t] for t in self.order)
        return tuple(level_products(term.z, term.codes, term.n_levels, V) for term in in_order)

    def levels(self, products: Products) -> Crossed:
        B, *others = products
        flat = [b.reshape(*b.shape[:-3], -1, b.shape[-1]) for b in others]
        B_others = namespace(*flat).concatenate(flat, axis=-2)
        return Crossed(self.A, B, self.couplings, self.A_others, B_others, self.sizes, self.order)


def _check_memory(D, terms, order, itemsize):
    needed = DENSE_COPIES * D * D * itemsize
    if needed > MEMORY_LIMIT:
        sizes = ", ".join(str(terms[t].n_levels) for t in order)
        raise ValueError(
            f"Crossed factors with {sizes} levels leave a dense matrix of {D} x {D}, about "
            f"{needed / 2**30:.0f} GiB of working memory, and at most {MEMORY_LIMIT / 2**30:.0f} GiB are "
            f"expected; drop a factor, or sample its levels."
        )


def _couple(eliminated: RandomTerm, others: list[RandomTerm], first, D: int) -> Couplings:
    """List where the eliminated factor meets the columns of the others."""
    xp = namespace(eliminated.z, *(term.z for term in others))
    levels, columns, values = [], [], []
    for start, term in zip(first, others, strict=True):
        cell = np.asarray(eliminated.codes, np.int64) * term.n_levels + np.asarray(term.codes)
        met, meeting = np.unique(cell, return_inverse=True)
        level, other = np.divmod(met, term.n_levels)
        q = term.z.shape[1]
        products = eliminated.z[:, None, :] * term.z[:, :, None]
        values.append(segment_sum(products, meeting, len(met)).reshape(len(met) * q, -1))
        levels.append(np.repeat(level, q))
        columns.append((start + other[:, None] * q + np.arange(q)).reshape(-1))
    level, column = np.concatenate(levels), np.concatenate(columns)
    by_level = np.argsort(level * D + column, kind="stable")
    level, column, value = level[by_level], column[by_level], xp.concatenate(values)[by_level]
    J, q = eliminated.n_levels, value.shape[1]
    if count_pairs(level) > DENSE_FILL * J * q * D * D:
        dense = segment_sum(value, level * D + column, J * D).reshape(J, D, q)
        return DenseCouplings(xp.swapaxes(dense, 1, 2))
    return SparseCouplings.build(level, column, value, J, D)


def _dense_products(others: list[RandomTerm], first, D: int) -> Float[Array, "D D"]:
    """Return the lower triangle of Z_o'W Z_o."""
    total = namespace(*(term.z for term in others)).zeros(D * D, others[0].z.dtype)
    for i, (row_start, row_term) in enumerate(zip(first, others, strict=True)):
        for column_start, column_term in zip(first[: i + 1], others[: i + 1], strict=True):
            for a in range(row_term.z.shape[1]):
                row = row_start + np.asarray(row_term.codes, np.int64) * row_term.z.shape[1] + a
                for b in range(a + 1 if row_start == column_start else column_term.z.shape[1]):
                    column = column_start + np.asarray(column_term.codes) * column_term.z.shape[1] + b
                    total = total + segment_sum(
                        row_term.z[:, a] * column_term.z[:, b], row * D + column, D * D
                    )
    return total.reshape(D, D)
