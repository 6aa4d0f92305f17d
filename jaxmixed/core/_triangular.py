"""Triangular systems of one small matrix, on NumPy and JAX arrays."""

from jaxtyping import Float

from ._types import Array, namespace

UNROLLED = 8  # largest triangle that JAX is given row by row


def solve_upper(R: Float[Array, "p p"], b: Float[Array, "p *m"]) -> Float[Array, "p *m"]:
    """Solve R x = b for one upper-triangular R."""
    xp = namespace(R, b)
    if R.shape[0] == 0:
        return b
    if xp.__name__ == "numpy":
        return xp.linalg.solve(R, b)
    if len(R) <= UNROLLED:
        return _substituted(R, b)
    from jax.scipy.linalg import solve_triangular

    return solve_triangular(R, b)


def _substituted(R, b):
    """Solve R x = b from the last row up.

    A library takes very many at once on threads of its own, which then keep the processors busy.
    """
    x: list[Array] = []
    for i in reversed(range(len(R))):
        below = sum((R[i, k] * row for k, row in enumerate(x, start=i + 1)), 0)
        x.insert(0, (b[i] - below) / R[i, i])
    return namespace(R, b).stack(x)


def solve_lower(L: Float[Array, "q q"], b: Float[Array, "q *m"]) -> Float[Array, "q *m"]:
    """Solve L x = b for one lower-triangular L, by the upper-triangular solve of both reversed."""
    return solve_upper(L[::-1, ::-1], b[::-1])[::-1]
