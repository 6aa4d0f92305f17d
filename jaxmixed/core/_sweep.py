"""Generalised inverse of an information matrix, and which parameters it says nothing about.

At an optimum on the boundary, or one that is not unique, some direction may carry no information: a
rotation of random effects whose covariance has a zero row, say. Sweeping (Goodnight 1979,
doi:10.1080/00031305.1979.10482685) inverts the matrix pivot by pivot and passes over those parameters
that depend on earlier ones; every generalised inverse gives the same quadratic form for a gradient that is
zero along such directions, which those of estimable quantities are.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from ._types import Array, namespace

DEPENDENT = (
    1e-8  # pivot of a matrix of unit diagonal, below which a parameter counts as dependent (lmerTest's)
)


class Swept(NamedTuple):
    """A generalised inverse, shape (m, m), and which parameters were passed over, shape (m,)."""

    inverse: Float[Array, "m m"]
    skipped: Bool[Array, " m"]


def sweep(matrix: Float[Array, "m m"]) -> Swept:
    """Invert a symmetric non-negative matrix; rows of parameters that are passed over are zero.

    Which these are does not change with small changes of the matrix, so that d M^- = -M^- dM M^-.
    """
    if namespace(matrix) is not np:
        return _sweep_traced(matrix)
    found = _of_full_rank(matrix)
    return _sweep(matrix) if found is None else found


def _of_full_rank(matrix: Float[np.ndarray, "m m"]) -> Swept | None:
    """Return the inverse if none is passed over: pivots are the squares of Cholesky's diagonal."""
    diagonal = matrix.diagonal()
    if not all([size > 0 for size in diagonal.tolist()]):
        return None
    scale = 1 / np.sqrt(diagonal)
    scale = scale[:, None] * scale
    try:
        factor = np.linalg.cholesky(matrix * scale)
    except np.linalg.LinAlgError:
        return None
    if not all([root**2 > DEPENDENT for root in factor.diagonal().tolist()]):
        return None
    root = np.linalg.inv(factor)
    return Swept(root.T @ root * scale, np.zeros(len(matrix), bool))


@jax.custom_jvp
def _sweep_traced(matrix):
    return _sweep(matrix)


@_sweep_traced.defjvp
def _(primals, tangents):
    swept = _sweep_traced(*primals)
    constant = np.zeros(swept.skipped.shape, jax.dtypes.float0)
    return swept, Swept(-swept.inverse @ tangents[0] @ swept.inverse, constant)


def _sweep(matrix):
    xp = namespace(matrix)
    diagonal = xp.diagonal(matrix)
    scale = xp.where(diagonal > 0, 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    matrix = matrix * scale[:, None] * scale[None, :]
    skipped = []
    for j, here in enumerate(xp.eye(len(matrix), dtype=matrix.dtype)):
        others, skip = 1 - here, ~(matrix[j, j] > DEPENDENT)
        down = matrix[:, j] * others - here
        across = (matrix[j] * others + here) / xp.where(skip, 1.0, matrix[j, j])
        rest = matrix * (others[:, None] * others)
        matrix = rest - xp.where(skip, 0.0, down[:, None] * across)
        skipped.append(skip)
    return Swept(matrix * scale[:, None] * scale[None, :], xp.stack(skipped))
