"""Least squares of many clusters at once: X_g = Q_g R_g for each cluster g, in one pass a column pair.

Modified Gram-Schmidt in which every inner product is a sum within clusters. Each column is
orthogonalised twice, which makes Q as orthogonal as Householder reflections would, so covariates with
large means lose no digits as they would in the normal equations.
"""

from typing import NamedTuple

import numpy as np

from ._rank import TOLERANCE


class LeastSquares(NamedTuple):
    """Regressions of J clusters on p columns.

    Attributes
    ----------
    beta
        Coefficients, shape (J, p), NaN where aliased.
    root
        R^-1, shape (J, p, p), zero where aliased: beta has covariance sigma^2 root root'.
    residual
        y - X beta, shape (n,).
    rss, tss, nobs, rank
        Residual and total sum of squares, rows, and columns that are not aliased, shape (J,). The
        total is about the mean where the columns span a constant (`centred`), else about zero.
    aliased
        Columns that are linear combinations of those before them in their cluster, shape (J, p).
    """

    beta: np.ndarray
    root: np.ndarray
    residual: np.ndarray
    rss: np.ndarray
    tss: np.ndarray
    centred: np.ndarray
    nobs: np.ndarray
    rank: np.ndarray
    aliased: np.ndarray

    @property
    def df_resid(self) -> np.ndarray:
        """Residual degrees of freedom, shape (J,)."""
        return self.nobs - self.rank

    @property
    def variance(self) -> np.ndarray:
        """Estimate of sigma^2, shape (J,), NaN without residual degrees of freedom."""
        df = self.df_resid
        return np.where(df > 0, self.rss / np.maximum(df, 1), np.nan)

    @property
    def rsquared(self) -> np.ndarray:
        """Share of the total sum of squares that the columns explain, shape (J,)."""
        return np.where(self.tss > 0, 1 - self.rss / np.where(self.tss > 0, self.tss, 1.0), np.nan)

    @property
    def cov(self) -> np.ndarray:
        """Covariance of the coefficients, shape (J, p, p), NaN where aliased."""
        cov = self.variance[:, None, None] * (self.root @ self.root.transpose(0, 2, 1))
        return np.where(self.aliased[:, :, None] | self.aliased[:, None, :], np.nan, cov)


def least_squares(X: np.ndarray, y: np.ndarray, codes: np.ndarray, n_clusters: int) -> LeastSquares:
    """Regress y on X within each cluster.

    Parameters
    ----------
    X, y
        Columns and response of all rows, shapes (n, p) and (n,).
    codes
        Cluster of each row, integers in 0, ..., n_clusters - 1, shape (n,).
    n_clusters
        Number of clusters J; some may have no rows.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 5.0]])
    >>> fits = least_squares(X, np.array([1.0, 3.0, 5.0, 9.0]), np.array([0, 0, 0, 1]), 2)
    >>> fits.beta[0].round(12)
    array([1., 2.])
    >>> fits.aliased[1]
    array([False,  True])
    """
    p = X.shape[1]
    Q = np.empty((p, len(y)))
    R = np.zeros((n_clusters, p, p))
    aliased = np.zeros((n_clusters, p), bool)
    for j in range(p):
        column, R[:, :j, j] = _orthogonalise(X[:, j], Q[:j], codes, n_clusters)
        before, after = (_sums(v * v, codes, n_clusters) ** 0.5 for v in (X[:, j], column))
        aliased[:, j] = after <= TOLERANCE * before
        # An aliased column takes no part: its Q is zero, and the 1 keeps R invertible.
        Q[j] = column * np.where(aliased[:, j], 0.0, 1 / np.where(aliased[:, j], 1.0, after))[codes]
        R[:, j, j] = np.where(aliased[:, j], 1.0, after)
    residual, projection = _orthogonalise(y, Q, codes, n_clusters)
    nobs = np.bincount(codes, minlength=n_clusters)
    outside, _ = _orthogonalise(np.ones(len(y)), Q, codes, n_clusters)
    centred = _sums(outside * outside, codes, n_clusters) <= TOLERANCE**2 * nobs
    mean = _sums(y, codes, n_clusters) / np.maximum(nobs, 1)
    deviation = y - np.where(centred, mean, 0.0)[codes]
    beta = np.linalg.solve(R, projection[:, :, None])[:, :, 0]
    root = np.linalg.solve(R, np.broadcast_to(np.eye(p), R.shape))
    return LeastSquares(
        beta=np.where(aliased, np.nan, beta),
        root=np.where(aliased[:, :, None] | aliased[:, None, :], 0.0, root),
        residual=residual,
        rss=_sums(residual * residual, codes, n_clusters),
        tss=_sums(deviation * deviation, codes, n_clusters),
        centred=centred,
        nobs=nobs,
        rank=p - aliased.sum(1),
        aliased=aliased,
    )


def _orthogonalise(column, Q, codes, n_clusters) -> tuple[np.ndarray, np.ndarray]:
    """Take out of a column its part along the rows of Q; return what is left and the coefficients (J, j)."""
    coefficients = np.zeros((n_clusters, len(Q)))
    for _ in range(2):
        for i, q in enumerate(Q):
            part = _sums(q * column, codes, n_clusters)
            coefficients[:, i] += part
            column = column - part[codes] * q
    return column, coefficients


def _sums(values: np.ndarray, codes: np.ndarray, n_clusters: int) -> np.ndarray:
    """Sum within clusters, shape (J,)."""
    # NumPy's sum is pairwise, which bincount's is not.
    return values.sum(keepdims=True) if n_clusters == 1 else np.bincount(codes, values, n_clusters)
