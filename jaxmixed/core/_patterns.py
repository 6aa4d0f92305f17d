"""Which levels of a grouping factor share their cross products, and array sizes that recur.

A pattern is a set of levels with equal A_j = Z_j'W_jZ_j. A new data set of nearly the same size should
not need a new compilation, so the leading axes are padded to a short list of sizes with levels that
have no rows: A = 0 and B = 0 add nothing to any sum.
"""

import numpy as np
from jaxtyping import Float, Int

from ._types import Array, pad

DIGITS = 2.0**36  # relative resolution at which two cross products count as equal: about 1e-11
NEGLIGIBLE = 2.0**-40  # of the largest entry: what is left where a sum cancels


def same_rows(
    products: Float[np.ndarray, "J m"],
) -> tuple[Int[np.ndarray, " U"], Int[np.ndarray, " J"], Int[np.ndarray, " U"]]:
    """Return the first row of each pattern, the pattern of each row, and the size of each pattern.

    Sums over equal rows in another order differ by rounding, so numbers are compared to 36 bits.
    """
    if (products == products[:1]).all():
        return _all_alike(len(products))
    size = np.abs(products)
    mantissa, exponent = np.frexp(np.where(size < NEGLIGIBLE * size.max(), 0.0, products))
    key = np.ldexp(np.round(mantissa * DIGITS), exponent) + 0.0  # 4 and what is all but 4; 0 and -0
    if (key == key[:1]).all():
        return _all_alike(len(products))
    rows = np.ascontiguousarray(key).view(np.dtype((np.void, key.itemsize * key.shape[1])))[:, 0]
    return np.unique(rows, return_index=True, return_inverse=True, return_counts=True)[1:]


def _all_alike(J: int):
    return np.zeros(1, np.int64), np.zeros(J, np.int64), np.array([J])


def bucket(size: int) -> int:
    """Return the next size of the form 2^m or 3 * 2^m, at most a half more than asked."""
    if size <= 4:
        return size
    power = 1 << (size - 1).bit_length()
    return 3 * power // 4 if size <= 3 * power // 4 else power


def pad_rows(array: Array, size: int, axis: int = 0) -> Array:
    """Append zeros along an axis, the first by default, up to `size`."""
    length = array.shape[axis]
    if length == size:
        return array
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - length)
    return pad(array, widths)
