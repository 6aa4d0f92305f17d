"""Design -> Conditioned: the same model in coordinates where cross products are harmless.

Cross products square the condition number, so they are taken of better columns. With rows multiplied
by the square roots of the weights,

    X = Q R,                          Q orthonormal
    y - offset = Q gamma_ols + s u,   u of unit mean square, orthogonal to X
    z = z~ T,                         z~ of unit mean square, T lower triangular within each block

so that Lambda~ = T Lambda is again lower triangular and log|I + Lambda'ALambda| does not change.
R, gamma_ols, s and T carry the results back. Q'Q is in the statistics: it is I up to some hundred roundings.
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ._covariance import Blocks
from ._design import Design, RandomTerm, Totals
from ._node import Node
from ._orthogonal import orthogonal
from ._types import Array, Scalar, namespace, pad

ROUNDING = 100  # times eps: what is left of a column that depends on others


class Conditioned(Node):
    """All of a design but its response, in conditioned coordinates.

    Attributes
    ----------
    Q, R
        Thin QR decomposition of the weighted X, shapes (n, p) and (p, p).
    terms
        The random terms with z replaced by the weighted z~.
    T
        For each term, z (weighted) = z~ T, lower triangular, shape (q, q).
    root_weights, offset
        Square roots of the weights, and the offset, shape (n,), or `None`.
    totals
        Those of the design.
    """

    Q: Float[Array, "n p"]
    R: Float[Array, "p p"]
    terms: tuple[RandomTerm, ...]
    T: tuple[Float[Array, "q q"], ...]
    root_weights: Float[Array, " n"] | None
    offset: Float[Array, " n"] | None
    totals: Totals | None = None

    @property
    def n(self) -> Scalar:
        """Number of rows."""
        if self.totals is not None:
            return self.totals.n
        return np.asarray(float(len(self.Q)), self.Q.dtype)

    @property
    def log_weights(self) -> Scalar:
        """Sum of the logarithms of the weights."""
        if self.totals is not None:
            return self.totals.log_weights
        xp = namespace(self.Q)
        if self.root_weights is None:
            return xp.zeros((), self.Q.dtype)
        return 2 * xp.log(self.root_weights).sum()

    @cached_property
    def bordered(self) -> Float[Array, "c c"]:
        """[Q u]'[Q u] but for u'u: u is orthogonal to Q, whatever the response."""
        return pad(self.Q.T @ self.Q, [(0, 1), (0, 1)])

    @cached_property
    def shared(self) -> dict[str, Any]:
        """The statistics that do not depend on the response, by name."""
        return {
            "R": self.R,
            "T": self.T,
            "n": self.n,
            "log_weights": self.log_weights,
            "blocks": tuple(term.blocks for term in self.terms),
        }


class Response(NamedTuple):
    """A response in conditioned coordinates: y - offset = Q gamma_ols + scale * u, rows weighted.

    Of several responses, one a column, all arrays have a last axis more. `square` is u'u: the number of rows,
    or zero where nothing is left.
    """

    u: Float[Array, "n *R"]
    gamma_ols: Float[Array, "p *R"]
    scale: Float[Array, "*R"]
    square: Float[Array, "*R"]


def condition(design: Design) -> Conditioned:
    """Orthogonalise X and every z."""
    xp = namespace(design.X)
    root = None if design.weights is None else xp.sqrt(design.weights)
    Q, R = _upper_qr(_weighted(root, design.X))
    n = len(design.y) if design.totals is None else design.totals.n
    terms, T = [], []
    for term in design.terms:
        z, factor = _orthogonalise(_weighted(root, term.z), term.blocks, n)
        terms.append(RandomTerm(z, term.codes, term.n_levels, term.blocks))
        T.append(factor)
    return Conditioned(Q, R, tuple(terms), tuple(T), root, design.offset, design.totals)


def condition_response(conditioned: Conditioned, y: Float[Array, "n *R"]) -> Response:
    """Take the least-squares fit out of a response, or of every column of several, and scale what is left."""
    if conditioned.offset is not None:
        y = (y.T - conditioned.offset).T
    if conditioned.root_weights is not None:
        y = (y.T * conditioned.root_weights).T
    xp = namespace(conditioned.Q, y)
    Q = conditioned.Q
    # The first pass removes the bulk of a large mean, the second the rounding it left behind.
    first = Q.T @ y
    residual = y - Q @ first
    second = Q.T @ residual
    residual = residual - Q @ second
    squares = residual @ residual if y.ndim == 1 else xp.einsum("nr,nr->r", residual, residual)
    mean_square = squares / conditioned.n
    if xp is np and y.ndim == 1:
        scale = np.sqrt(mean_square) if mean_square > 0 else np.ones_like(mean_square)
    else:
        scale = xp.where(mean_square > 0, xp.sqrt(xp.where(mean_square > 0, mean_square, 1.0)), 1.0)
    return Response(residual / scale, first + second, scale, squares / scale**2)


def _weighted(root, array):
    if root is None:
        return array
    return array * (root[:, None] if array.ndim == 2 else root)


def _upper_qr(X):
    """Return (Q, R) of the fixed part."""
    if namespace(X) is np and (found := orthogonal(X)) is not None:
        return found
    return _library_qr(X)


def _library_qr(X):
    """Return (Q, R), the diagonal of R positive: draws in these coordinates then do not hang on a library."""
    xp = namespace(X)
    Q, R = xp.linalg.qr(X)
    sign = xp.where(xp.diagonal(R) < 0, -1.0, 1.0).astype(X.dtype)
    return Q * sign, R * sign[:, None]


def _orthogonalise(z, blocks: Blocks, n):
    """Return (z~, T) with z = z~ T and each block of z~ orthogonal with unit mean square."""
    xp = namespace(z)
    if len(blocks) == 1:
        return _lower_qr(z, n)
    pieces, rows, first = [], [], 0
    for b in blocks:
        piece, factor = _lower_qr(z[:, first : first + b], n)
        pieces.append(piece)
        rows.append(pad(factor, ((0, 0), (first, z.shape[1] - first - b))))
        first += b
    return xp.concatenate(pieces, axis=1), xp.concatenate(rows, axis=0)


def _lower_qr(z, n):
    """Return (z~, T) for one block; if its columns are collinear up to rounding they are only scaled."""
    xp = namespace(z)
    if xp is np and (found := orthogonal(z, float(n), lower=True)) is not None:
        return found
    largest = xp.abs(z).max(0, initial=0.0)
    unit = xp.where(largest > 0, largest, 1.0)  # of its own, a square may be infinite
    square = ((z / unit) ** 2).sum(0) / n
    norm = unit * xp.sqrt(xp.where(square > 0, square, 1.0))
    if z.shape[1] == 1:
        return z / norm, norm[:, None]
    # QR of the reversed columns, reversed again, has a lower-triangular factor.
    reversed_columns = z[:, ::-1] / norm[::-1]
    Q, R = _library_qr(reversed_columns)
    independent = (xp.abs(xp.diagonal(R)) > ROUNDING * xp.finfo(z.dtype).eps * n**0.5).all()
    if xp is not np:
        # The derivatives of a QR decomposition divide by R: of columns that will do where these do not.
        Q, R = _library_qr(xp.where(independent, reversed_columns, xp.eye(*z.shape, dtype=z.dtype)))
    Q, R = Q[:, ::-1] * n**0.5, R[::-1, ::-1] / n**0.5
    T = xp.where(independent, R, xp.eye(z.shape[1], dtype=z.dtype))
    return xp.where(independent, Q, z / norm), T * norm
