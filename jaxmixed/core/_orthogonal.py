"""X = Q R by the cross products of X, where these are harmless: few columns, far from dependent.

To start a library takes longer than to factor a matrix of a few numbers, for which Python's own do. Q is
orthogonal up to eps times the square of X's condition number, and X = Q R up to rounding.
"""

from math import sqrt

import numpy as np
from jaxtyping import Float

FEW = 6  # columns: of more, a library is faster
FAR = 0.01  # least share of a column's square that the columns before it leave
SMALLEST = 1e-290  # square whose digits are all there

Rows = list[list[float]]


def orthogonal(
    X: Float[np.ndarray, "n p"], square: float = 1.0, lower: bool = False
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "p p"]] | None:
    """Return (Q, R), Q'Q = square I and R upper or lower triangular; nothing where a library is better."""
    if X.dtype != np.float64 or not 0 < X.shape[1] <= FEW:
        return None
    products, order = cross_products(X) / square, slice(None, None, -1 if lower else 1)
    R = triangle(products[order, order].tolist())
    if R is None:
        return None
    return X @ np.array(_inverse(R))[order, order], np.array(R)[order, order]


def cross_products(X: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "p p"]:
    """Return X'X, which may be infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return X.T @ X


def triangle(products: Rows) -> Rows | None:
    """Return Cholesky's R of cross products R'R; nothing if some column is not far from those before it."""
    p = len(products)
    R = [[0.0] * p for _ in range(p)]
    for j, row in enumerate(products):
        for i in range(j):
            R[i][j] = (row[i] - sum([R[k][i] * R[k][j] for k in range(i)])) / R[i][i]
        left = row[j] - sum([R[k][j] * R[k][j] for k in range(j)])  # unlike **, without an OverflowError
        if not left > max(FAR * row[j], SMALLEST):
            return None
        R[j][j] = sqrt(left)
    return R


def _inverse(R: Rows) -> Rows:
    """Invert an upper triangle."""
    p = len(R)
    inverse = [[0.0] * p for _ in range(p)]
    for j in range(p):
        inverse[j][j] = 1 / R[j][j]
        for i in reversed(range(j)):
            inverse[i][j] = -sum([R[i][k] * inverse[k][j] for k in range(i + 1, j + 1)]) / R[i][i]
    return inverse
