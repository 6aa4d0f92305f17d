"""A_eo as a list of entries, when most levels of e meet few columns of the others.

The products of the columns that many levels meet, and of no others, are formed as matrices,

    sum_j A_jC' K_j A_jC,     C the common columns,

in blocks of levels that a bounded array holds, filled from the entries each time. All other products
are listed once, as pairs of entries of the same level. Where a few columns have most of the entries, as the
popular items of ratings do, the list is a small part of all pairs, and the matrices a small part of J D^2.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._couplings import Couplings, spread
from ._dense import lower_product
from ._node import static
from ._types import Array, namespace, segment_sum

CHUNK = 2**22  # meetings of rows and entries held at a time
BLOCK = 2**22  # numbers of the array that holds the common columns of some levels


class SparseCouplings(Couplings):
    """Entries of A_eo, sorted by level, and pairs of entries within each level.

    Attributes
    ----------
    level, column, value
        Level of e, column of o and z_e'W z_o of each entry; value has shape (E, q).
    common
        Columns whose products among each other are formed as matrices, increasing.
    pair_level, pair_cell, pair_value
        Level, position in the lower triangle of a D x D matrix (flattened) and outer product of the
        values of each pair that is not of two common columns, in the order of rows of that matrix; shapes
        (P,), (P,) and (P, q * q).
    n_levels, n_columns
        J and D.
    block
        Levels of a block, and the most entries that one has.
    """

    level: Int[Array, " E"]
    column: Int[Array, " E"]
    value: Float[Array, "E q"]
    common: Int[Array, " H"]
    pair_level: Int[Array, " P"]
    pair_cell: Int[Array, " P"]
    pair_value: Float[Array, "P qq"]
    n_levels: int = static()
    n_columns: int = static()
    block: tuple[int, int] = static()

    @classmethod
    def build(
        cls,
        level: Int[np.ndarray, " E"],
        column: Int[np.ndarray, " E"],
        value: Float[Array, "E q"],
        shape: tuple[int, int],
        common: Int[np.ndarray, " H"],
    ) -> "SparseCouplings":
        """Pair the entries, which are sorted by level; `shape` is (J, D)."""
        J, D = shape
        rare = np.ones(D, bool)
        rare[common] = False
        level, column = _short(level), _short(column)
        one, other = _pairs(level, rare[column])
        row = np.maximum(column[one], column[other])
        # Numbers of 16 bits are sorted in linear time.
        by_row = np.argsort(row.astype(np.uint16) if D < 2**16 else row, kind="stable")
        one, other, row = one[by_row], other[by_row], row[by_row]
        del by_row
        cell = _short(row.astype(np.int64) * D + np.minimum(column[one], column[other]))
        products = (value[one][:, :, None] * value[other][:, None, :]).reshape(len(one), value.shape[1] ** 2)
        levels = int(min(J, max(1, BLOCK // max(1, len(common) * value.shape[1]))))
        most = np.bincount(level // levels).max(initial=0)
        listed = level[one], cell, products
        return cls(level, column, value, _short(common), *listed, J, D, (levels, int(most)))

    @property
    def lengths(self) -> tuple[int, ...]:
        return len(self.level), len(self.common), len(self.pair_level)

    def extended(
        self, n_levels: int, columns: Int[np.ndarray, " D"], n_columns: int, lengths: tuple[int, ...]
    ) -> "SparseCouplings":
        entries, common, pairs = lengths
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
            lengthen(_short(columns[self.common]), common, n_columns),
            lengthen(self.pair_level, pairs, last),
            lengthen(cell, pairs),
            lengthen(self.pair_value, pairs),
            n_levels,
            n_columns,
            (n_levels, entries),
        )

    def fill(self, K: Float[Array, "J q q"]) -> Float[Array, "D D"]:
        at_pairs = K.reshape(len(K), -1)[self.pair_level]
        filled = namespace(K, at_pairs).einsum("pq,pq->p", at_pairs, self.pair_value)
        D = self.n_columns
        listed = segment_sum(filled, self.pair_cell, D * D).reshape(D, D)
        return listed if len(self.common) == 0 else self._add_common(listed, self._gram(K))

    def _gram(self, K):
        """Return sum_j A_jC' K_j A_jC, its lower triangle."""

        def of_block(A, K):
            flat = A.reshape(-1, A.shape[2])
            return lower_product(flat, (K @ A).reshape(flat.shape))

        levels, H = self.block[0], len(self.common)
        count = -(-self.n_levels // levels)
        if count == 1:
            return of_block(self._common_block(0), K)
        if namespace(K, self.value) is np:
            firsts = range(0, self.n_levels, levels)
            return sum(of_block(self._common_block(f), K[f : f + levels]) for f in firsts)

        # Differentiated, a block is filled again: kept, all of them would take J x H numbers.
        @jax.checkpoint
        def add(total, block):
            first, K = block
            return total + of_block(self._common_block(first), K), None

        K = jnp.pad(K, ((0, count * levels - len(K)), (0, 0), (0, 0)))
        blocks = levels * jnp.arange(count), K.reshape(count, levels, *K.shape[1:])
        return jax.lax.scan(add, jnp.zeros((H, H), K.dtype), blocks)[0]

    def _common_block(self, first) -> Float[Array, "levels q H"]:
        """Return the common columns of A_eo, of as many levels from the first given as a block has."""
        (levels, most), H, q = self.block, len(self.common), self.value.shape[1]
        if namespace(self.value, self.level, first) is np:
            start, end = np.searchsorted(self.level, [first, first + levels])
            place = self._places(np)[self.column[start:end]]
            seen = place < H
            A = np.zeros((min(levels, self.n_levels - first), q, H), self.value.dtype)
            A[self.level[start:end][seen] - first, :, place[seen]] = self.value[start:end][seen]
            return A
        entries = self.level, self._places(jnp)[self.column], self.value
        if most < len(self.level):
            start = jnp.searchsorted(self.level, first)
            entries = [jax.lax.dynamic_slice_in_dim(part, start, most) for part in entries]
        level, place, value = entries
        own = level - first
        own = jnp.where((own >= 0) & (own < levels), own, levels)  # of other levels: outside, and dropped
        return jnp.zeros((levels, q, H), value.dtype).at[own, :, place].add(value)

    def _places(self, xp) -> Int[Array, " D"]:
        """Return the place of each column among the common ones, H where it is none of them."""
        H = len(self.common)
        if xp is np:
            place = np.full(self.n_columns + 1, H)
            place[self.common] = np.arange(H)
            return place
        return jnp.full(self.n_columns, H).at[self.common].set(jnp.arange(H))

    def _add_common(self, lower, gram):
        """Add products of the common columns where they belong."""
        if namespace(lower, gram) is np:
            known = self.common[self.common < self.n_columns]
            lower[np.ix_(known, known)] += np.tril(gram)[: len(known), : len(known)]
            return lower
        return lower.at[self.common[:, None], self.common].add(jnp.tril(gram))

    def to_own(self, b: Float[Array, "D m"]) -> Float[Array, "J q m"]:
        through = self.value[:, :, None] * b[self.column][:, None, :]
        return segment_sum(through, self.level, self.n_levels)

    def to_others(self, b: Float[Array, "J q m"]) -> Float[Array, "D m"]:
        through = namespace(b, self.value).einsum("eq,eqm->em", self.value, b[self.level])
        return segment_sum(through, self.column, self.n_columns)

    def spread(self, joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
        xp, D, q = namespace(joint), self.n_columns, self.value.shape[1]
        # A pair off the diagonal stands for two equal terms, transposes of each other.
        once = xp.where(self.pair_cell // D == self.pair_cell % D, 0.5, 1.0).astype(joint.dtype)
        at_pairs = once * joint.reshape(-1)[self.pair_cell]
        half = segment_sum(at_pairs[:, None] * self.pair_value, self.pair_level, self.n_levels)
        half = half.reshape(self.n_levels, q, q)
        total = half + xp.swapaxes(half, 1, 2)
        if len(self.common) == 0:
            return total
        among = joint[self.common[:, None], self.common]
        blocks = map(self._common_block, range(0, self.n_levels, self.block[0]))
        return total + xp.concatenate([spread(A, among) for A in blocks])[: self.n_levels]

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


def count_pairs(entries: Int[np.ndarray, " J"]) -> int:
    """Return the number of pairs of entries of the same level, each with itself too."""
    entries = entries.astype(np.int64)
    return int((entries * (entries + 1) // 2).sum())


def _pairs(
    level: Int[np.ndarray, " E"], rare: Int[np.ndarray, " E"]
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return every pair of entries of the same level, one of them rare at least; `level` is sorted."""
    in_order = _short(np.lexsort((rare, level)))  # within a level those that are not rare come first
    last = np.flatnonzero(rare[in_order])
    start = np.searchsorted(level, level[in_order[last]])
    one, other = _runs(start, last - start + 1)
    return in_order[last][one], in_order[other]


def _runs(
    first: Int[np.ndarray, " m"], length: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return the members first, first + 1, ... of runs of some lengths, each after the run it is of."""
    first, length = _short(first), _short(length)
    run = np.repeat(np.arange(len(first), dtype=np.int32), length)
    # What is added to the place among all members to give the member.
    shift = first - (np.cumsum(length) - length)
    return run, np.arange(len(run)) + np.repeat(shift, length)


def _short(index: np.ndarray) -> np.ndarray:
    """Use 32-bit indices where they reach: gathers run faster."""
    return index.astype(np.int32) if len(index) == 0 or index.max() < 2**31 else index
