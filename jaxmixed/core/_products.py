"""Z'V of one factor, level by level, and Z'Z of one or two: how rows become levels."""

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._partitions import MARKED
from ._types import Array, Codes, namespace, scattered_sum, segment_sum

WIDE = 8  # columns of V, from where on a sparse product is faster than sums of single columns


def term_products(term: RandomTerm, V: Float[Array, "n m"]) -> Float[Array, "J q m"]:
    """Return the sums over the rows of each level of a factor of z_i v_i'."""
    if V.shape[1] < WIDE and namespace(term.z, V) is np:
        values, starts = term.z[:, :, None] * V[:, None, :], term.starts
        if starts is None:
            return scattered_sum(values, term.codes, term.n_levels)
        return np.add.reduceat(values, starts, axis=0)
    return level_products(term.z, term.codes, term.n_levels, V)


def level_products(
    z: Float[Array, "n q"], codes: Codes, n_levels: int, V: Float[Array, "n m"]
) -> Float[Array, "J q m"]:
    """Do so for levels that need not be those of a factor."""
    if namespace(z, V) is np and V.shape[1] >= WIDE:
        return _sparse_products(z, codes, n_levels, V)
    return segment_sum(z[:, :, None] * V[:, None, :], codes, n_levels)


def own_products(term: RandomTerm) -> Float[Array, "J q q"]:
    """Return Z'WZ of each level of one factor."""
    return term_products(term, term.z)


def meetings(
    one: RandomTerm, other: RandomTerm
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"], Float[Array, "M q r"]]:
    """Return which levels of two factors meet in a row, and the sums of z_one z_other' over those rows."""
    cells = one.n_levels * other.n_levels
    cell = np.asarray(one.codes, np.int64) * other.n_levels + np.asarray(other.codes)
    if cells <= MARKED * len(cell):
        marked = np.zeros(cells, bool)
        marked[cell] = True
        met, meeting = np.flatnonzero(marked), (np.cumsum(marked, dtype=np.int32) - 1)[cell]
    else:
        met, meeting = np.unique(cell, return_inverse=True)
    products = segment_sum(one.z[:, :, None] * other.z[:, None, :], meeting, len(met))
    return *np.divmod(met, other.n_levels), products


def _sparse_products(z, codes, n_levels: int, V):
    """Multiply by the sparse Z': every row of V is read once and added to its level's sums as a whole."""
    from scipy.sparse import csc_array  # a slow import, needed for many responses only

    n, q = z.shape
    places = (codes[:, None].astype(np.int32) * q + np.arange(q, dtype=np.int32)).reshape(-1)
    starts = np.arange(0, n * q + 1, q, dtype=np.int32)
    Zt = csc_array((np.ascontiguousarray(z).reshape(-1), places, starts), shape=(n_levels * q, n))
    return (Zt @ V).reshape(n_levels, q, V.shape[1])
