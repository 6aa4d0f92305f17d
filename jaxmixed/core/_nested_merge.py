"""Merging families of nested factors that agree in their z's: what they add to S is quadratic.

The products of an outermost level with [X y], those of its descendants included, are a row of P = [P_X P_y].
The levels of a pattern add the same quadratic form in their rows, which may therefore be replaced by any
others with the same cross products: where there are more levels than columns, by R of P = Q R,

    R = [ R_X  Q_X'P_y ]
        [       R_rest ],       R_rest that of P_y - Q_X Q_X'P_y.

R_X and Q_X are the same for every response.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._plan import Products


class MergedFamilies(NamedTuple):
    """Rows that stand for all the outermost levels of their pattern.

    Attributes
    ----------
    chosen
        An outermost level to lend each row its z's, shape (rows,).
    counts
        How many levels each row stands for in log-determinants, shape (rows,).
    products
        For each factor Z'W[X y] of R responses, shape (R, rows, slots in a family, q, c).
    """

    chosen: Int[np.ndarray, " rows"]
    counts: Float[np.ndarray, " rows"]
    products: Products


def merge_families(
    pattern: Int[np.ndarray, " J"], fixed: Products, own: Products, n_outermost: int
) -> MergedFamilies:
    """Replace the products of each pattern by fewer with the same cross products, where there are any.

    Parameters
    ----------
    pattern
        Pattern of each outermost level.
    fixed, own
        For each factor Z'WX and Z'Wy of every slot, families side by side, with a column for each of R
        responses.
    n_outermost
        Number J of outermost levels.
    """
    J, p, R = n_outermost, fixed[0].shape[2], own[0].shape[2]
    families = [(y.shape[0] // J, y.shape[1]) for y in own]
    X = np.concatenate([x.reshape(J, m * q * p) for x, (m, q) in zip(fixed, families, strict=True)], axis=1)
    Y = np.concatenate([y.reshape(J, m * q, R) for y, (m, q) in zip(own, families, strict=True)], axis=1)
    ends = np.cumsum(np.bincount(pattern))[:-1]
    chosen, counts, rows_X, rows_Y = [], [], [], []
    for members in np.split(np.argsort(pattern, kind="stable"), ends):
        x, y = _triangle(X[members], np.moveaxis(Y[members], 2, 0))
        chosen.append(members[: len(x)])
        counts.append(np.full(len(x), len(members) / len(x)))
        rows_X.append(x)
        rows_Y.append(y)
    x, y = np.concatenate(rows_X), np.concatenate(rows_Y, axis=1)
    ends = np.cumsum([slots * q for slots, q in families])[:-1]
    products = []
    for a, b, family in zip(np.split(x, ends * p, axis=1), np.split(y, ends, axis=2), families, strict=True):
        shared = np.broadcast_to(a.reshape(len(x), *family, p), (*y.shape[:2], *family, p))
        products.append(np.concatenate([shared, b.reshape(*y.shape[:2], *family, 1)], axis=-1))
    return MergedFamilies(np.concatenate(chosen), np.concatenate(counts).astype(Y.dtype), tuple(products))


def _triangle(X: Float[np.ndarray, "m a"], Y: Float[np.ndarray, "R m b"]):
    """Return fewer rows with the cross products of [X Y], in two parts, if there are more than columns."""
    (_, m, b), a = Y.shape, X.shape[1]
    if m <= a + b:
        return X, Y
    Q, R_X = np.linalg.qr(X)
    above = Q.T @ Y
    below = np.linalg.qr(Y - Q @ above, mode="r")
    return np.concatenate([R_X, np.zeros((b, a), X.dtype)]), np.concatenate([above, below], axis=1)
