"""Which levels of a grouping factor share their cross products, and array sizes that recur.

A pattern is a set of levels with equal A_j = Z_j'W_jZ_j. A new data set of nearly the same size should
not need a new compilation, so the leading axes are padded to a short list of sizes with levels that
have no rows: A = 0 and B = 0 add nothing to any sum.
"""

import numpy as np
from jaxtyping import Float, Int

from ._types import Array, namespace

DIGITS = 2.0**36  # relative resolution at which two cross products count as equal: about 1e-11


def find_patterns(A: Float[np.ndarray, "J q q"]) -> tuple[Int[np.ndarray, " J"], int]:
    """Return the pattern of each level and the number of patterns.

    Sums over equal rows in another order differ by rounding, so diagonals are compared to a relative,
    correlations to an absolute 1e-11.
    """
    diagonal = np.diagonal(A, axis1=1, axis2=2)
    mantissa, exponent = np.frexp(diagonal)
    norm = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    row, column = np.tril_indices(A.shape[1], -1)
    correlation = A[:, row, column] / (norm[:, row] * norm[:, column])
    key = np.concatenate([np.round(mantissa * DIGITS), exponent, np.round(correlation * DIGITS)], axis=1)
    key = np.ascontiguousarray(key.astype(np.int64))
    if (key == key[:1]).all():
        return np.zeros(len(A), np.int64), 1
    rows = key.view(np.dtype((np.void, key.dtype.itemsize * key.shape[1])))[:, 0]
    distinct, pattern = np.unique(rows, return_inverse=True)
    return pattern, len(distinct)


def bucket(size: int) -> int:
    """Return the next size of the form 2^m or 3 * 2^m, at most a half more than asked."""
    if size <= 4:
        return size
    power = 1 << (size - 1).bit_length()
    return 3 * power // 4 if size <= 3 * power // 4 else power


def pad_rows(array: Float[Array, "J ..."], size: int) -> Float[Array, "size ..."]:
    """Append zeros along the first axis up to `size`."""
    if len(array) == size:
        return array
    return namespace(array).pad(array, [(0, size - len(array))] + [(0, 0)] * (array.ndim - 1))
