"""Any number of rows -> few rows with the same cross products: what a pass over the rows leaves of them.

A mixed model asks of its rows M = [Z X y] nothing but M'M and, for each level of each grouping factor,
Z_j'M_j. With a *cell* for every combination of levels that occurs, and A_c = Z_c'Z_c, the rows of a cell may
be replaced by as many as Z has columns, and all that they then lack by a few rows without random effects,

    A_c^(-1/2) Z_c'M_c,     (M'M - sum_c M_c'Z_c A_c^-1 Z_c'M_c)^(1/2).

The sums add up in any order: rows come in batches, and batches are read on several machines. They are taken
of V = M R^-1, whose columns are nearly orthonormal over all rows, so that cross products do no harm.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DEPENDENT = 1e-12  # what is left of a column, relative to it, if it is a combination of those before it
UNCERTAIN = 1e-8  # the same, squared, as far as cross products can tell
AT_ONCE = 2**16  # cells whose square roots are taken at a time


class CellSums:
    """Sums over rows of V'V, and over the rows of each cell of Z'V with Z the first columns of V.

    Parameters
    ----------
    width, lead
        Number of columns of V, and of Z.
    """

    def __init__(self, width: int, lead: int):
        self.width, self.lead = width, lead
        self.total = np.zeros((width, width))
        self._pairs = [(a, b) for a in range(lead) for b in range(a, width)]
        self._sums = np.zeros((len(self._pairs), 0))
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, cells: Int[np.ndarray, " n"], n_cells: int, V: Float[np.ndarray, "n w"]) -> None:
        """Add rows to cells 0, ..., n_cells - 1, the last of which may be new."""
        self._grow(n_cells)
        self.total += V.T @ V
        columns = np.ascontiguousarray(V.T)
        for sums, (a, b) in zip(self._sums, self._pairs, strict=True):
            sums[:n_cells] += np.bincount(cells, columns[a] * columns[b], n_cells)

    def merge(self, other: "CellSums", cells: Int[np.ndarray, " m"], n_cells: int) -> None:
        """Add the sums of other rows, the cells of `other` being `cells` among the n_cells of these."""
        self._grow(n_cells)
        self.total += other.total
        self._sums[:, cells] += other._sums[:, : len(other)]

    def rows(
        self, dependent: Bool[np.ndarray, " w"]
    ) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m w"]]:
        """Return rows with the same cross products, and the cell that each belongs to.

        Dependent columns are zero up to rounding, and made zero.
        """
        pieces = [
            self._of_cells(slice(first, min(first + AT_ONCE, self._used)))
            for first in range(0, self._used, AT_ONCE)
        ]
        rows = np.concatenate(pieces)
        rows[:, dependent] = 0.0
        cells = np.repeat(np.arange(self._used), self.lead)
        norms = _norms(self.total)
        kept = np.flatnonzero(~dependent[self.lead :]) + self.lead
        left = ((self.total - rows.T @ rows) / np.outer(norms, norms))[np.ix_(kept, kept)]
        values, vectors = np.linalg.eigh(left)
        rest = np.zeros((len(kept), self.width))
        rest[:, kept] = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * norms[kept]
        return np.append(cells, np.zeros(len(rest), np.int64)), np.concatenate([rows, rest])

    def _of_cells(self, some: slice) -> Float[np.ndarray, "m w"]:
        S = np.zeros((some.stop - some.start, self.lead, self.width))
        for sums, (a, b) in zip(self._sums, self._pairs, strict=True):
            S[:, a, b] = sums[some]
            if b < self.lead:
                S[:, b, a] = sums[some]
        A = S[:, :, : self.lead]
        norms = np.sqrt(np.diagonal(A, axis1=1, axis2=2))
        norms = np.where(norms > 0, norms, 1.0)
        values, vectors = np.linalg.eigh(A / (norms[:, :, None] * norms[:, None, :]))
        # Raising an eigenvalue to what rounding leaves of zero changes A by rounding, and Z'M not at all.
        root = np.sqrt(np.maximum(values, np.finfo(float).eps * np.maximum(values[:, -1:], 1.0)))[:, :, None]
        transposed = vectors.swapaxes(1, 2)
        rows = transposed @ (S / norms[:, :, None]) / root
        rows[:, :, : self.lead] = root * transposed * norms[:, None, :]
        return rows.reshape(-1, self.width)

    def _grow(self, n_cells: int) -> None:
        self._used = max(self._used, n_cells)
        lacking = self._used - self._sums.shape[1]
        if lacking > 0:
            self._sums = np.pad(self._sums, [(0, 0), (0, max(lacking, self._sums.shape[1]))])


class Coordinates(NamedTuple):
    """V = M R^-1 for an upper-triangular R.

    Attributes
    ----------
    R, inverse
        R and its inverse.
    """

    R: Float[np.ndarray, "w w"]
    inverse: Float[np.ndarray, "w w"]

    @classmethod
    def of(cls, R: Float[np.ndarray, "w w"]) -> "Coordinates":
        """Invert R."""
        return cls(R, np.linalg.solve(R, np.eye(len(R))))


def coordinates(M: Float[np.ndarray, "n w"]) -> Coordinates:
    """Return coordinates in which the columns of a sample of rows are orthonormal.

    A column that is a combination of others in the sample, which it need not be elsewhere, has the rest that
    it leaves there in units of its norm.
    """
    norms = np.sqrt((M**2).sum(axis=0))
    norms = np.where(norms > 0, norms, 1.0)
    rows = np.asarray(np.linalg.qr(M / norms, mode="r"))
    triangle = np.eye(len(norms))
    for k in range(len(norms)):
        pivot = np.sqrt((rows[:, k] ** 2).sum())
        if pivot > DEPENDENT:
            direction = rows[:, k] / pivot
            triangle[k, k:] = direction @ rows[:, k:]
            rows = rows - np.outer(direction, triangle[k] * (np.arange(len(norms)) >= k))
    return Coordinates.of(triangle * norms)


def dependent_columns(at: Coordinates, total: Float[np.ndarray, "w w"]) -> Bool[np.ndarray, " w"]:
    """Return which columns of M are combinations of those before them, from V'V over all rows."""
    left = np.sqrt(np.diagonal(total)) * np.abs(np.diagonal(at.R))
    return left <= DEPENDENT * np.sqrt(np.einsum("ik,ij,jk->k", at.R, total, at.R))


def conditioning(at: Coordinates, total: Float[np.ndarray, "w w"]) -> float:
    """Return the smallest eigenvalue of V'V, columns scaled to norm one: rounding is eps over it."""
    kept = ~dependent_columns(at, total)
    norms = _norms(total)
    return float(np.linalg.eigvalsh((total / np.outer(norms, norms))[np.ix_(kept, kept)])[0])


def refine(at: Coordinates, total: Float[np.ndarray, "w w"]) -> Coordinates:
    """Return coordinates in which the columns of all rows are more nearly orthonormal, from V'V."""
    norms, known = _norms(total), ~dependent_columns(at, total)
    left = total / np.outer(norms, norms)
    triangle = np.eye(len(norms))
    for k in np.flatnonzero(known):
        if left[k, k] > UNCERTAIN:
            triangle[k, k:] = left[k, k:] / np.sqrt(left[k, k]) * known[k:]
            left = left - np.outer(triangle[k], triangle[k])
    return Coordinates.of(triangle * norms @ at.R)


def _norms(total: Float[np.ndarray, "w w"]) -> Float[np.ndarray, " w"]:
    norms = np.sqrt(np.diagonal(total))
    return np.where(norms > 0, norms, 1.0)
