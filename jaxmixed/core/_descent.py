"""The modified Newton step of one search, or of many side by side.

    H ~ L D L',     s = -(L |D| L')^-1 g

goes downhill along directions of negative curvature too (Gill, Murray & Wright 1981). Vectors have the shape
(m, *lanes), matrices (m, m, *lanes), scalars (*lanes), with one more axis where there are many searches.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

UNROLLED = 4  # largest Hessian whose inverse is written out; beyond it compile time outweighs the loop
PIVOT_FLOOR = 1e-9  # smallest |pivot| of a scaled Hessian; below it a direction counts as flat


def along(constant: np.ndarray, array: jax.Array) -> np.ndarray:
    """Give a constant, one for all searches, the axis of many, if an array of the shape (k, ...) has it."""
    return constant.reshape(constant.shape + (1,) * (array.ndim - 1))


def beside(scalar: jax.Array, array: jax.Array) -> jax.Array:
    """Give a scalar of each search the axes that an array has before those of the searches."""
    return scalar.reshape((1,) * (array.ndim - scalar.ndim) + scalar.shape)


def choose(condition: jax.Array, array: jax.Array, other: jax.Array) -> jax.Array:
    """Return one array or the other, as a condition of each search says."""
    return jnp.where(beside(condition, array), array, other)


def dot(a, b):
    return (a * b).sum(0)


def norm(vector):
    return jnp.sqrt(dot(vector, vector))


def times(matrix, vector):
    return (matrix * vector[None]).sum(1)


def downhill(hessian, gradient):
    """Return the modified Newton step, the decrement, and whether the Hessian had no negative pivot."""
    tiny = jnp.finfo(hessian.dtype).tiny
    scale = jax.lax.rsqrt(jnp.maximum(jnp.abs(diagonal(hessian)), tiny))
    matrix, scaled = hessian * scale[:, None] * scale[None, :], gradient * scale
    if len(matrix) <= UNROLLED:
        inverse, lowest = modified_inverse(matrix)
        step = -times(inverse, scaled)
    else:
        solution, lowest = modified_solution(matrix, scaled)
        step = -solution
    return scale * step, -dot(step, scaled), lowest > -PIVOT_FLOOR


def diagonal(matrix: Float[jax.Array, "m m *lanes"]) -> Float[jax.Array, "m *lanes"]:
    """Return the diagonal of a matrix, of each search where there are many."""
    return jnp.where(along(np.eye(len(matrix), dtype=bool), matrix[0]), matrix, 0).sum(1)


def modified_solution(matrix, vector):
    """Solve L|D|L' x = vector for matrix = LDL', one row at a time; also return the lowest pivot in D."""
    size, rows = len(matrix), along(np.arange(len(matrix)), vector)

    def forward(j, carry):
        matrix, vector, L, sizes, lowest = carry
        pivot = matrix[j, j][None]
        column = jnp.where(rows > j, matrix[:, j], 0)
        below = column / jnp.where(jnp.abs(pivot) < PIVOT_FLOOR, PIVOT_FLOOR, pivot)
        matrix, vector = matrix - below[:, None] * column[None], vector - below * vector[j][None]
        sizes = jnp.where(rows == j, jnp.maximum(jnp.abs(pivot), PIVOT_FLOOR), sizes)
        return matrix, vector, L + below[:, None] * (rows == j)[None], sizes, jnp.minimum(lowest, pivot[0])

    def backward(i, x):
        j = size - 1 - i
        return x - jnp.where(rows == j, dot(L[:, j], x)[None], 0)

    lowest = jnp.full_like(vector[0], jnp.inf)
    start = matrix, vector, jnp.zeros_like(matrix), jnp.ones_like(vector), lowest
    _, vector, L, sizes, lowest = jax.lax.fori_loop(0, size, forward, start)
    return jax.lax.fori_loop(0, size, backward, vector / sizes), lowest


def modified_inverse(matrix):
    """Return the inverse of L|D|L' for matrix = LDL', and the lowest pivot in D.

    The first row is eliminated, the rest inverted, and the result bordered.
    """
    pivot = matrix[0, 0]
    size = jnp.maximum(jnp.abs(pivot), PIVOT_FLOOR)
    if len(matrix) == 1:
        return (1 / size)[None, None], pivot
    row = matrix[0, 1:] / jnp.where(jnp.abs(pivot) < PIVOT_FLOOR, PIVOT_FLOOR, pivot)[None]
    rest, lowest = modified_inverse(matrix[1:, 1:] - row[:, None] * matrix[0, 1:][None])
    upper = -times(rest, row)
    top = jnp.concatenate([(1 / size - dot(upper, row))[None], upper])
    below = jnp.concatenate([upper[:, None], rest], axis=1)
    return jnp.concatenate([top[None], below]), jnp.minimum(pivot, lowest)
