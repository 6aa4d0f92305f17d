"""How an eliminated factor e meets the columns of the others: A_eo, as a list of entries or dense.

Both forms answer the same four questions, so that nothing else needs to know which it is.
"""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._types import Array, namespace, segment_sum

CHUNK = 2**22  # meetings of rows and entries held at a time


class Couplings(eqx.Module):
    """Cross products of the levels of e with the D columns of the other factors."""

    @property
    @abc.abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """Numbers of entries and pairs, where these are listed."""

    @abc.abstractmethod
    def extended(
        self, n_levels: int, columns: Int[np.ndarray, " D"], n_columns: int, lengths: tuple[int, ...]
    ) -> "Couplings":
        """Return these couplings among more levels and columns, the old columns being the new `columns`."""

    @abc.abstractmethod
    def fill(self, K: Float[Array, "J q q"]) -> Float[Array, "D D"]:
        """Return the lower triangle of sum_j A_oj K_j A_jo."""

    @abc.abstractmethod
    def to_own(self, b: Float[Array, "D m"]) -> Float[Array, "J q m"]:
        """Return A_eo b."""

    @abc.abstractmethod
    def to_others(self, b: Float[Array, "J q m"]) -> Float[Array, "D m"]:
        """Return A_oe b."""

    @abc.abstractmethod
    def spread(self, joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
        """Return A_jo joint A_oj of each level, for a symmetric matrix."""

    @abc.abstractmethod
    def through(
        self, joint: Float[Array, "D D"], level: Int[Array, " m"], columns: Int[Array, "m v"]
    ) -> Float[Array, "m q v"]:
        """Return (A_eo joint)[level, :, columns], a level and a few columns of o for each row."""


class DenseCouplings(Couplings):
    """A_eo as an array: when most levels of e meet most columns of the others."""

    A: Float[Array, "J q D"]

    @property
    def lengths(self) -> tuple[int, ...]:
        return ()

    def extended(
        self, n_levels: int, columns: Int[np.ndarray, " D"], n_columns: int, lengths: tuple[int, ...]
    ) -> "DenseCouplings":
        A = np.zeros((n_levels, self.A.shape[1], n_columns), self.A.dtype)
        A[: len(self.A), :, columns] = self.A
        return DenseCouplings(A)

    def fill(self, K: Float[Array, "J q q"]) -> Float[Array, "D D"]:
        flat = self.A.reshape(-1, self.A.shape[2])
        return namespace(K, flat).tril(flat.T @ (K @ self.A).reshape(flat.shape))

    def to_own(self, b: Float[Array, "D m"]) -> Float[Array, "J q m"]:
        return self.A @ b

    def to_others(self, b: Float[Array, "J q m"]) -> Float[Array, "D m"]:
        return self.A.reshape(-1, self.A.shape[2]).T @ b.reshape(-1, b.shape[2])

    def spread(self, joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
        return namespace(joint, self.A).einsum("jad,jbd->jab", self.A @ joint, self.A)

    def through(
        self, joint: Float[Array, "D D"], level: Int[Array, " m"], columns: Int[Array, "m v"]
    ) -> Float[Array, "m q v"]:
        return namespace(joint, self.A).swapaxes((self.A @ joint)[level[:, None], :, columns], 1, 2)


class SparseCouplings(Couplings):
    """A_eo as a list of entries, sorted by level, and the pairs of entries within each level.

    Attributes
    ----------
    level, column, value
        Level of e, column of o and z_e'W z_o of each entry; value has shape (E, q).
    pair_level, pair_cell, pair_value
        Level, position in the lower triangle of a D x D matrix (flattened) and outer product of the
        values of each pair, flattened, shapes (P,), (P,) and (P, q * q).
    n_levels, n_columns
        J and D.
    """

    level: Int[Array, " E"]
    column: Int[Array, " E"]
    value: Float[Array, "E q"]
    pair_level: Int[Array, " P"]
    pair_cell: Int[Array, " P"]
    pair_value: Float[Array, "P qq"]
    n_levels: int = eqx.field(static=True)
    n_columns: int = eqx.field(static=True)

    @classmethod
    def build(cls, level: np.ndarray, column: np.ndarray, value: Array, J: int, D: int) -> "SparseCouplings":
        """Pair the entries, which are sorted by level."""
        one, other = _pairs(level)
        cell = column[one] * D + column[other]
        products = (value[one][:, :, None] * value[other][:, None, :]).reshape(len(one), -1)
        return cls(_short(level), _short(column), value, _short(level[one]), _short(cell), products, J, D)

    @property
    def lengths(self) -> tuple[int, ...]:
        return len(self.level), len(self.pair_level)

    def extended(
        self, n_levels: int, columns: Int[np.ndarray, " D"], n_columns: int, lengths: tuple[int, ...]
    ) -> "SparseCouplings":
        entries, pairs = lengths
        one, other = np.divmod(self.pair_cell, self.n_columns)
        cell = _short(columns[one] * n_columns + columns[other])

        def lengthen(array: np.ndarray, length: int, value: int = 0) -> np.ndarray:
            widths = [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1)
            return np.pad(array, widths, constant_values=value)

        last = n_levels - 1  # entries stay sorted by level
        return SparseCouplings(
            lengthen(self.level, entries, last),
            lengthen(_short(columns[self.column]), entries),
            lengthen(self.value, entries),
            lengthen(self.pair_level, pairs, last),
            lengthen(cell, pairs),
            lengthen(self.pair_value, pairs),
            n_levels,
            n_columns,
        )

    def fill(self, K: Float[Array, "J q q"]) -> Float[Array, "D D"]:
        at_pairs = K.reshape(len(K), -1)[self.pair_level]
        filled = namespace(K, at_pairs).einsum("pq,pq->p", at_pairs, self.pair_value)
        D = self.n_columns
        return segment_sum(filled, self.pair_cell, D * D).reshape(D, D)

    def to_own(self, b: Float[Array, "D m"]) -> Float[Array, "J q m"]:
        through = self.value[:, :, None] * b[self.column][:, None, :]
        return segment_sum(through, self.level, self.n_levels)

    def to_others(self, b: Float[Array, "J q m"]) -> Float[Array, "D m"]:
        through = namespace(b, self.value).einsum("eq,eqm->em", self.value, b[self.level])
        return segment_sum(through, self.column, self.n_columns)

    def spread(self, joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
        xp, D = namespace(joint), self.n_columns
        # A pair off the diagonal stands for two equal terms, transposes of each other.
        once = xp.where(self.pair_cell // D == self.pair_cell % D, 0.5, 1.0).astype(joint.dtype)
        at_pairs = once * joint.reshape(-1)[self.pair_cell]
        half = segment_sum(at_pairs[:, None] * self.pair_value, self.pair_level, self.n_levels)
        q = self.value.shape[1]
        half = half.reshape(self.n_levels, q, q)
        return half + xp.swapaxes(half, 1, 2)

    def through(
        self, joint: Float[Array, "D D"], level: Int[Array, " m"], columns: Int[Array, "m v"]
    ) -> Float[Array, "m q v"]:
        # How many entries a level has decides shapes: levels are concrete, here and in the couplings.
        first, last = (np.searchsorted(self.level, np.asarray(level), side) for side in ("left", "right"))
        pieces = np.array_split(np.arange(len(first)), 1 + (last - first).sum() // CHUNK)
        sums = []
        for piece in pieces:
            row, entry = _runs(first[piece], (last - first)[piece])
            met = joint[self.column[entry][:, None], columns[piece][row]]
            sums.append(segment_sum(self.value[entry][:, :, None] * met[:, None, :], row, len(piece)))
        return namespace(joint, self.value).concatenate(sums)


def count_pairs(level: Int[np.ndarray, " E"]) -> int:
    """Return the number of pairs that `SparseCouplings` would list."""
    entries = np.bincount(level).astype(np.int64)
    return int((entries * (entries + 1) // 2).sum())


def _pairs(level: Int[np.ndarray, " E"]) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return every pair of entries (i, j), j <= i, of the same level; `level` is sorted."""
    start = np.searchsorted(level, level)
    return _runs(start, np.arange(len(level)) - start + 1)


def _runs(
    first: Int[np.ndarray, " m"], length: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return the members first, first + 1, ... of runs of some lengths, each after the run it is of."""
    run = np.repeat(np.arange(len(first)), length)
    rank = np.arange(len(run)) - np.repeat(np.cumsum(length) - length, length)
    return run, first[run] + rank


def _short(index: np.ndarray) -> np.ndarray:
    """Use 32-bit indices where they reach: gathers run faster."""
    return index.astype(np.int32) if len(index) == 0 or index.max() < 2**31 else index
