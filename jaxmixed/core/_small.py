"""Log-determinant and inverse of small symmetric positive-definite matrices, and eigenvectors, in batches.

Library factorisations cost tens of times the arithmetic for matrices this small, and several batched
ones in a program can deadlock jaxlib on a CPU. Here the matrix is eliminated one row at a time, written
out for the few smallest sizes and in a loop above. The derivative is stated rather than traced,

    d log|M| = tr(M^-1 dM),     d M^-1 = -M^-1 dM M^-1,

so that no loop is ever differentiated, to any order. The inverse is wanted itself, entry by entry. The
matrices are M = I + Lambda'ALambda >= I or a Schur complement in conditioned columns, so that explicit
inversion loses nothing.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._types import Array, namespace, varying_like

UNROLLED = 4  # largest size that is written out; beyond it compile time outweighs the loop
SWEEPS = 10  # of Jacobi's rotations: convergence is quadratic, and 6 do for matrices of 10 x 10


def logdet_inverse(
    matrix: Float[Array, "*batch q q"],
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch q q"]]:
    """Return log|M| and M^-1 for each symmetric positive-definite matrix of a batch.

    Nothing is checked: a matrix that is not positive definite gives NaN or a meaningless number.
    """
    if namespace(matrix) is np:
        return _with_numpy(matrix)
    return jnp.vectorize(_logdet_inverse, signature="(q,q)->(),(q,q)")(matrix)


def _with_numpy(matrix):
    size = matrix.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        if size == 1:
            return np.log(matrix[..., 0, 0]), 1 / matrix
        if size == 2:
            return _two_by_two(matrix)
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        nothing = np.full(matrix.shape, np.nan, matrix.dtype)
        return np.full(matrix.shape[:-2], np.nan, matrix.dtype), nothing
    root = np.linalg.inv(factor)
    logdet = 2 * np.log(factor.diagonal(axis1=-2, axis2=-1)).sum(-1)
    return logdet, np.swapaxes(root, -1, -2) @ root


def _two_by_two(matrix):
    """Divide the adjugate by the determinant: for many matrices, in a fortieth of the library's time."""
    first, beside, last = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    determinant = first * last - beside**2
    inverse = np.empty_like(matrix)
    inverse[..., 0, 0], inverse[..., 1, 1] = last, first
    inverse[..., 0, 1] = inverse[..., 1, 0] = -beside
    return np.log(determinant), inverse / determinant[..., None, None]


@jax.custom_jvp
def _logdet_inverse(matrix):
    return _bordered(matrix) if len(matrix) <= UNROLLED else _eliminated(matrix)


@_logdet_inverse.defjvp
def _(primals, tangents):
    (matrix,), (tangent,) = primals, tangents
    logdet, inverse = _logdet_inverse(matrix)
    product = inverse @ tangent
    return (logdet, inverse), (jnp.trace(product), -product @ inverse)


def _bordered(matrix):
    """Eliminate the first row, invert what is left, and border the result."""
    if len(matrix) == 0:
        return jnp.zeros((), matrix.dtype), matrix
    pivot = matrix[:1, :1]
    if len(matrix) == 1:
        return jnp.log(pivot[0, 0]), 1 / pivot
    row = matrix[:1, 1:] / pivot
    logdet, rest = _bordered(matrix[1:, 1:] - row.T * matrix[:1, 1:])
    upper = -row @ rest
    inverse = jnp.block([[1 / pivot - upper @ row.T, upper], [upper.T, rest]])
    return logdet + jnp.log(pivot[0, 0]), inverse


def _eliminated(matrix):
    """Invert in place by Gauss-Jordan elimination, one pivot an iteration."""
    size = len(matrix)

    def eliminate(j, carry):
        matrix, logdet = carry
        here = jnp.arange(size) == j
        pivot = matrix[j, j]
        row = jnp.where(here, 1, matrix[j]) / pivot
        others = jnp.where(here[None, :], 0, matrix) - matrix[:, j, None] * row[None, :]
        return jnp.where(here[:, None], row[None, :], others), logdet + jnp.log(pivot)

    start = varying_like(jnp.zeros((), matrix.dtype), matrix)
    inverse, logdet = jax.lax.fori_loop(0, size, eliminate, (matrix, start))
    return logdet, inverse


def eigen(matrix: Float[Array, "q q"]) -> tuple[Float[Array, " q"], Float[Array, "q q"]]:
    """Return eigenvalues, in no order, and eigenvectors as columns, of one small symmetric matrix.

    By Jacobi's rotations, which vmap; the derivative

        d P = P F,     F_ij = (P'dM P)_ij / (d_j - d_i)

    leaves out pairs of equal eigenvalues, whose eigenvectors have none.
    """
    return np.linalg.eigh(matrix) if namespace(matrix) is np else _jacobi(matrix)


@jax.custom_jvp
def _jacobi(matrix):
    q = len(matrix)
    if q < 2:
        return jnp.diagonal(matrix), jnp.eye(q, dtype=matrix.dtype)
    pairs = jnp.asarray(np.array([(i, j) for j in range(q) for i in range(j)], np.int32))

    def rotate(step, carry):
        M, P = carry
        i, j = pairs[step % len(pairs)]
        first, second = jnp.arange(q) == i, jnp.arange(q) == j
        beside, gap = M[i, j], (M[j, j] - M[i, i]) / 2
        # tan of the angle that makes M[i, j] zero, the smaller of two
        size = jnp.abs(gap) + jnp.hypot(gap, beside)
        tan = jnp.where(gap < 0, -beside, beside) / jnp.where(size > 0, size, 1)
        cos = 1 / jnp.sqrt(1 + tan**2)
        turn = jnp.where(first | second, cos, 1)[:, None] * jnp.eye(q, dtype=M.dtype)
        sin = tan * cos * (first[:, None] & second[None, :])
        turn = turn + sin - sin.T
        return turn.T @ M @ turn, P @ turn

    sweeps = SWEEPS if q > 2 else 1
    M, P = jax.lax.fori_loop(0, sweeps * len(pairs), rotate, (matrix, jnp.eye(q, dtype=matrix.dtype)))
    return jnp.diagonal(M), P


@_jacobi.defjvp
def _(primals, tangents):
    (matrix,), (tangent,) = primals, tangents
    d, P = _jacobi(matrix)
    moved = P.T @ tangent @ P
    apart = d[None, :] - d[:, None]
    F = jnp.where(apart != 0, moved / jnp.where(apart != 0, apart, 1), 0)
    return (d, P), (jnp.diagonal(moved), P @ F)
