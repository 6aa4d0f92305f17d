"""Laying out one factor: which of its levels are alike, and how a response meets them."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._one_factor import OneFactor, Patterns
from ._patterns import bucket, pad_rows, same_rows
from ._plan import Plan, Products, side_by_side
from ._products import own_products, term_products
from ._types import Array, namespace, segment_sum

MOST_COST = 4  # times the cost of single levels, up to which a shape that recurs is worth it


class Merged(NamedTuple):
    """Which levels share a pattern.

    Attributes
    ----------
    pattern
        Pattern of each level, shape (J,).
    counts, A
        Number of levels and cross products of each pattern, padded.
    """

    pattern: Int[np.ndarray, " J"]
    counts: Float[np.ndarray, " U"]
    A: Float[np.ndarray, "U q q"]


@dataclass(frozen=True)
class OneFactorPlan(Plan):
    """The part of one factor's cross products that does not depend on [X y].

    `merged` is `None` when levels do not repeat often enough, or are not known while tracing.
    """

    term: RandomTerm
    A: Float[Array, "J q q"]
    merged: Merged | None

    @classmethod
    def build(cls, term: RandomTerm, Q: Float[Array, "n p"]) -> "OneFactorPlan":
        """Form every A_j and look for patterns, if the numbers are known and merging saves work."""
        A = own_products(term)
        return cls(Q, term, A, _merged(A, Q, 1) if namespace(A) is np else None)

    def merging(self) -> "OneFactorPlan":
        """Merge levels wherever some repeat, even if that costs somewhat more.

        The statistics of designs that copy levels, more or fewer, then have one shape.
        """
        return self if self.merged is not None else replace(self, merged=_merged(self.A, self.Q, MOST_COST))

    def products(self, V: Float[Array, "n m"]) -> Products:
        return (term_products(self.term, V),)

    def levels(self, products: Products) -> OneFactor:
        return OneFactor(self.A, *products)

    def merge(self, products: Products) -> OneFactor | Patterns:
        (B,), merged = products, self.merged
        if merged is None:
            return self._padded(B)
        (J, q, c), U = B.shape, len(merged.counts)
        flat = B.reshape(J, q * c)
        if U == 1:
            G = flat.T @ flat
        else:
            G = segment_sum(flat[:, :, None] * flat[:, None, :], merged.pattern, U)
        return Patterns(merged.counts, merged.A, G.reshape(U, q, c, q, c).transpose(0, 1, 3, 2, 4))

    def merge_many(self, fixed: Products, own: Products) -> OneFactor | Patterns:
        if self.merged is None:
            return self._padded(*side_by_side(fixed, own))
        (X,), (Y,), merged = fixed, own, self.merged
        (_, q, R), p, U = Y.shape, X.shape[2], len(merged.counts)
        in_order = np.argsort(merged.pattern, kind="stable")
        ends = np.cumsum(np.bincount(merged.pattern))
        G = np.zeros((R, U, q, q, p + 1, p + 1), Y.dtype)
        pieces = (np.split(part[in_order], ends[:-1]) for part in (X, Y))
        for u, (x, y) in enumerate(zip(*pieces, strict=True)):
            x, flat = x.reshape(len(x), -1), y.reshape(len(y), -1)
            G[:, u, :, :, :p, :p] = (x.T @ x).reshape(q, p, q, p).swapaxes(1, 2)
            cross = (x.T @ flat).reshape(q, p, q, R).transpose(3, 0, 2, 1)
            G[:, u, :, :, :p, p] = cross
            G[:, u, :, :, p, :p] = cross.swapaxes(1, 2)
            for a, b in zip(*np.tril_indices(q), strict=True):
                G[:, u, a, b, p, p] = G[:, u, b, a, p, p] = np.einsum("jr,jr->r", y[:, a], y[:, b])
        return Patterns(merged.counts, merged.A, G)

    def _padded(self, B: Float[Array, "*batch J q c"]) -> OneFactor:
        """Bring the number of levels to one that recurs."""
        size = bucket(len(self.A))
        return OneFactor(pad_rows(self.A, size), pad_rows(B, size, axis=-3))


def _merged(A: Float[np.ndarray, "J q q"], Q: Float[np.ndarray, "n p"], most: int) -> Merged | None:
    """Look for patterns, and merge if that costs at most so many times as much as not to."""
    (J, q, _), c = A.shape, Q.shape[1] + 1
    first, pattern, counts = same_rows(A.reshape(J, -1))
    # G holds U q^2 c^2 numbers where A and B hold J q (q + c).
    if len(first) * q * c**2 > most * J * (q + c) or (most > 1 and len(first) == J):
        return None
    size = bucket(len(first))
    return Merged(pattern, pad_rows(counts.astype(A.dtype), size), pad_rows(A[first], size))
