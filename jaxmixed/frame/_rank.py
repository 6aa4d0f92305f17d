"""Linear dependence among the columns of X: which to keep, leftmost first, as R's pivoted QR does."""

import numpy as np

from ..core._orthogonal import FEW, cross_products, triangle

# A column is dependent if projecting out the columns before it leaves less than this of its norm.
# Columns of mean 1e9 and standard deviation 1 (1e-9 of the norm) are kept; exact combinations
# leave a few eps, 1e-15.
TOLERANCE = 1e-10
# Smallest eigenvalue of the cross products of columns of norm one, above which every column leaves at
# least 1e-3 of its norm: rounding is n eps at most.
INDEPENDENT = 1e-6
SMALLEST, LARGEST = 1e-200, 1e200  # squares of norms between which products neither under- nor overflow


def independent_columns(X: np.ndarray) -> np.ndarray:
    """Return a mask of the leftmost linearly independent columns of X, shape (p,).

    The triangular factor of X, its columns scaled to norm one, has X's geometry: dependence is
    read off its diagonal, and after a column is removed only the small factor is refactored. Columns
    whose cross products leave no doubt need no such factor.
    """
    p = X.shape[1]
    if p == 0 or len(X) == 0:
        return np.ones(p, dtype=bool)
    if _well_conditioned(X):
        return np.ones(p, dtype=bool)
    largest = np.max(np.abs(X), axis=0)
    scaled = X / np.where(largest > 0, largest, 1.0)
    norms = np.sqrt(np.einsum("np,np->p", scaled, scaled))
    R = _triangle(scaled / np.where(norms > 0, norms, 1.0))
    kept = np.arange(p)
    start = 0
    while True:
        diagonal = np.zeros(len(kept))
        diagonal[: min(R.shape)] = np.abs(np.diagonal(R))
        small = np.flatnonzero(diagonal[start:] < TOLERANCE)
        if len(small) == 0:
            break
        start += int(small[0])
        kept = np.delete(kept, start)
        R = _triangle(np.delete(R, start, axis=1))
    mask = np.zeros(p, dtype=bool)
    mask[kept] = True
    return mask


def _well_conditioned(X: np.ndarray) -> bool:
    """Whether the cross products of columns alone show that all are independent."""
    products = cross_products(X)
    if len(products) <= FEW and triangle(products.tolist()) is not None:
        return True
    squares = products.diagonal()
    if not (squares.min() > SMALLEST and squares.max() < LARGEST):
        return False
    norms = np.sqrt(squares)
    return bool(np.linalg.eigvalsh(products / np.multiply.outer(norms, norms))[0] > INDEPENDENT)


def _triangle(X: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.qr(X, mode="r"))
