"""What the levels of a factor explain of the response: the squares of an analysis of variance."""

from typing import NamedTuple

from jaxtyping import Float

from ._types import Array, namespace


class Between(NamedTuple):
    """How much each column of a factor's z explains by itself, and beyond the factor that this is nested in.

    Attributes
    ----------
    squares
        sum_j b_j^2 / a_j with a_j = z_j'Wz_j and b_j = z_j'Wy_j, shape (q,), less that of the factor
        around.
    levels
        Number of levels with a_j > 0, shape (q,), less that of the factor around.
    products
        sum_j b_j b_j', shape (q, q).
    noise
        squares / levels of the factor within, shape (q,): what is expected of this one if it has no variance.
        `None` where that is the residual variance.
    """

    squares: Float[Array, " q"]
    levels: Float[Array, " q"]
    products: Float[Array, "q q"]
    noise: Float[Array, " q"] | None = None


def between(
    a: Float[Array, "J q"], b: Float[Array, "J q"], counts: Float[Array, " J"] | None = None
) -> Between:
    """Return what levels explain, those without rows left out, given products of z with itself and with y.

    A row of b may stand for several levels, if counts says how many and its square is the sum of theirs.
    """
    counts = namespace(a, b).ones_like(b[:, 0]) if counts is None else counts
    return between_alike(a, b[:, :, None] * b[:, None, :], counts)


def between_alike(
    a: Float[Array, "U q"], products: Float[Array, "U q q"], counts: Float[Array, " U"]
) -> Between:
    """Do so given how many levels are alike, and the sums of their b b'."""
    xp = namespace(a, products)
    seen, b2 = a > 0, xp.diagonal(products, axis1=1, axis2=2)
    squares = xp.where(seen, b2 / xp.where(seen, a, 1.0), 0.0).sum(0)
    return Between(squares, (seen * counts[:, None]).sum(0), products.sum(0))
