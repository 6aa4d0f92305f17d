"""Z'V of one factor, level by level: how columns over rows become columns over levels."""

import numpy as np
from jaxtyping import Float

from ._types import Array, Codes, namespace, segment_sum

WIDE = 8  # columns of V, from where on a sparse product is faster than sums of single columns


def level_products(
    z: Float[Array, "n q"], codes: Codes, n_levels: int, V: Float[Array, "n m"]
) -> Float[Array, "J q m"]:
    """Return the sums over the rows of each level of z_i v_i'."""
    if namespace(z, V) is np and V.shape[1] >= WIDE:
        return _sparse_products(z, codes, n_levels, V)
    return segment_sum(z[:, :, None] * V[:, None, :], codes, n_levels)


def _sparse_products(z, codes, n_levels: int, V):
    """Multiply by the sparse Z': every row of V is read once and added to its level's sums as a whole."""
    from scipy.sparse import csc_array  # a slow import, needed for many responses only

    n, q = z.shape
    places = (codes[:, None].astype(np.int32) * q + np.arange(q, dtype=np.int32)).reshape(-1)
    starts = np.arange(0, n * q + 1, q, dtype=np.int32)
    Zt = csc_array((np.ascontiguousarray(z).reshape(-1), places, starts), shape=(n_levels * q, n))
    return (Zt @ V).reshape(n_levels, q, V.shape[1])
