"""Log-determinant and inverse of small symmetric positive-definite matrices, in batches.

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

from ._types import Array, namespace

UNROLLED = 4  # largest size that is written out; beyond it compile time outweighs the loop


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
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        nothing = np.full(matrix.shape, np.nan, matrix.dtype)
        return np.full(matrix.shape[:-2], np.nan, matrix.dtype), nothing
    unit = np.eye(matrix.shape[-1], dtype=matrix.dtype)
    root = np.linalg.solve(factor, np.broadcast_to(unit, matrix.shape))
    logdet = 2 * np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    return logdet, np.swapaxes(root, -1, -2) @ root


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

    inverse, logdet = jax.lax.fori_loop(0, size, eliminate, (matrix, jnp.zeros((), matrix.dtype)))
    return logdet, inverse
