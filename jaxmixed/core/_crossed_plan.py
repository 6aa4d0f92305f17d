"""Laying out crossed factors: which levels meet, and how the products of those meetings are to be formed."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._couplings import Couplings, DenseCouplings
from ._couplings_sparse import BLOCK, SparseCouplings, count_pairs
from ._crossed import Crossed, Sizes
from ._crossed_memory import most_pairs
from ._design import RandomTerm
from ._plan import OrderedPlan, Products, largest_first
from ._products import meetings, own_products
from ._types import Array, namespace, segment_sum

PAIR = 400  # multiplications of matrix products that take as long as one pair of the list
COMMON = (
    0,
    1 / 32,
    1 / 16,
    1 / 8,
    3 / 16,
    1 / 4,
    3 / 8,
    1 / 2,
    5 / 8,
    3 / 4,
    1,
)  # shares of D that are tried


@dataclass(frozen=True)
class CrossedPlan(OrderedPlan):
    """The part of the cross products of crossed factors that does not depend on [X y]."""

    A: Float[Array, "J q q"]
    couplings: Couplings
    A_others: Float[Array, "D D"]
    sizes: Sizes

    @classmethod
    def build(cls, terms: tuple[RandomTerm, ...], Q: Float[Array, "n p"]) -> "CrossedPlan":
        """Lay out the factors, the one with most levels eliminated and the others dense."""
        order = largest_first(terms)
        eliminated, *others = in_order = tuple(terms[t] for t in order)
        sizes = tuple((term.n_levels, term.z.shape[1]) for term in others)
        *first, D = np.cumsum([0, *(J * q for J, q in sizes)]).tolist()
        A = own_products(eliminated)
        couplings = _couple(eliminated, others, first, D)
        return cls(Q, in_order, order, A, couplings, _dense_products(others, first, D), sizes)

    def levels(self, products: Products) -> Crossed:
        B, *others = products
        flat = [b.reshape(*b.shape[:-3], -1, b.shape[-1]) for b in others]
        B_others = namespace(*flat).concatenate(flat, axis=-2)
        return Crossed(self.A, B, self.couplings, self.A_others, B_others, self.sizes, self.order)


def _couple(eliminated: RandomTerm, others: list[RandomTerm], first: list[int], D: int) -> Couplings:
    """List where the eliminated factor meets the columns of the others."""
    xp = namespace(eliminated.z, *(term.z for term in others))
    levels, columns, values = [], [], []
    for start, term in zip(first, others, strict=True):
        level, other, products = meetings(eliminated, term)
        q = term.z.shape[1]
        values.append(xp.swapaxes(products, 1, 2).reshape(len(level) * q, -1))
        levels.append(np.repeat(level, q))
        columns.append((start + other[:, None] * q + np.arange(q)).reshape(-1))
    level, column = np.concatenate(levels), np.concatenate(columns)
    by_level = np.argsort(level * D + column, kind="stable")
    level, column, value = level[by_level], column[by_level], xp.concatenate(values)[by_level]
    J, q = eliminated.n_levels, value.shape[1]
    common = _common_columns(level, column, J, q, D)
    if len(common) == D and J * q * D <= BLOCK:
        dense = segment_sum(value, level * D + column, J * D).reshape(J, D, q)
        return DenseCouplings(xp.swapaxes(dense, 1, 2))
    return SparseCouplings.build(level, column, value, (J, D), common)


def _common_columns(
    level: Int[np.ndarray, " E"], column: Int[np.ndarray, " E"], J: int, q: int, D: int
) -> Int[np.ndarray, " H"]:
    """Return the columns whose products are better formed as matrices: those of most entries."""
    if q * D * D <= PAIR:  # a level of one entry, listed, takes longer
        return np.arange(D)
    by_entries = np.argsort(-np.bincount(column, minlength=D), kind="stable")
    rank = np.empty(D, np.int64)
    rank[by_entries] = np.arange(D)
    all_pairs = count_pairs(np.bincount(level))
    best, least = D, float(J * q * D * D)
    for H in (int(share * D) for share in COMMON[:-1]):
        pairs = all_pairs - count_pairs(np.bincount(level[rank[column] < H]))
        cost = PAIR * pairs + J * q * H**2
        if cost < least and pairs <= most_pairs(D, len(level)):
            best, least = H, cost
    return np.sort(by_entries[:best])


def _dense_products(others: list[RandomTerm], first: list[int], D: int) -> Float[Array, "D D"]:
    """Return the lower triangle of Z_o'W Z_o."""
    xp = namespace(*(term.z for term in others))
    rows, columns, values = [], [], []
    for i, (row_start, row_term) in enumerate(zip(first, others, strict=True)):
        for column_start, column_term in zip(first[:i], others[:i], strict=True):
            row, column, products = meetings(row_term, column_term)
            _, a, b = np.indices(products.shape)
            rows.append((row_start + row[:, None, None] * products.shape[1] + a).reshape(-1))
            columns.append((column_start + column[:, None, None] * products.shape[2] + b).reshape(-1))
            values.append(products.reshape(-1))
        J, q = row_term.n_levels, row_term.z.shape[1]
        blocks = own_products(row_term)
        a, b = np.tril_indices(q)
        level_start = row_start + q * np.arange(J)[:, None]
        rows.append((level_start + a).reshape(-1))
        columns.append((level_start + b).reshape(-1))
        values.append(blocks[:, a, b].reshape(-1))
    row, column, value = np.concatenate(rows), np.concatenate(columns), xp.concatenate(values)
    if xp is np:
        total = np.zeros((D, D), value.dtype)
        total[row, column] = value
        return total
    return jnp.zeros((D, D), value.dtype).at[row, column].set(value, unique_indices=True)
