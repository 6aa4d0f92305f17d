"""Rows in classes: those of a factor, and those of what two factors have in common."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ._types import Codes

MARKED = 32  # cells for each row, up to which those that occur are marked rather than sorted


class Partition(NamedTuple):
    """Rows in classes, none of them empty.

    Attributes
    ----------
    codes
        Class of each row, shape (n,).
    first
        A row of each class, shape (K,).
    """

    codes: Codes
    first: Int[np.ndarray, " K"]

    @classmethod
    def of(cls, codes: Codes, size: int) -> "Partition":
        """Classes 0, ..., size - 1 that all occur."""
        first = np.empty(size, np.int64)
        first[codes] = np.arange(len(codes))
        return cls(codes, first)

    @property
    def size(self) -> int:
        """Number of classes K."""
        return len(self.first)

    def refines(self, other: "Partition") -> bool:
        """Whether every class lies within one of the other's."""
        if self is other or other.size == 1:
            return True
        if self.size < other.size:
            return False
        return bool((self.of_classes(other)[self.codes] == other.codes).all())

    def equals(self, other: "Partition") -> bool:
        """Whether the classes are the same rows, however they are numbered."""
        return self.size == other.size and self.refines(other)

    def of_classes(self, other: "Partition") -> Int[np.ndarray, " K"]:
        """Return the class of a partition that this one refines, for each of its own."""
        return other.codes[self.first]


def shared(a: Partition, b: Partition) -> Partition | None:
    """Return the finest partition that both refine; nothing if they do not meet in proportion within it."""
    J, K = a.size, b.size
    cells, rows = _counted(a.codes.astype(np.int64) * K + b.codes, J * K)
    if len(cells) == max(J, K):  # one refines the other
        return b if J > K else a
    if len(cells) == J * K and (rows == rows[0]).all():
        return Partition(np.zeros(len(a.codes), np.int64), np.zeros(1, np.int64))
    level, other = np.divmod(cells, K)
    part = np.zeros(J, np.int64) if len(cells) == J * K else _connected(level, other, J, K)
    size = np.bincount(part[level], rows)[part[level]]
    expected = np.bincount(level, rows)[level] * np.bincount(other, rows)[other]
    return Partition.of(part[a.codes], int(part.max()) + 1) if (rows * size == expected).all() else None


def _counted(codes: Int[np.ndarray, " n"], most: int) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the codes that occur, below `most`, and how often."""
    if most > MARKED * len(codes):
        return np.unique(codes, return_counts=True)
    rows = np.bincount(codes, minlength=most)
    found = rows.nonzero()[0]
    return found, rows[found]


def _connected(level: Int[np.ndarray, " m"], other: Int[np.ndarray, " m"], J: int, K: int) -> np.ndarray:
    """Return the class of each of J levels: those that meet a level of the other factor are in one."""
    from scipy.sparse import coo_array  # slow imports, for designs that look balanced only
    from scipy.sparse.csgraph import connected_components

    meetings = coo_array((np.ones(len(level)), (level, J + other)), shape=(J + K, J + K))
    return connected_components(meetings, directed=False)[1][:J]
