"""What the levels of a factor explain of the response: the strata of an analysis of variance.

With a_j, b_j and h_j the products of z_j with itself, with the response u and with the columns of Q, one
column of z at a time,

    E sum_j b_j^2 / a_j = levels sigma^2 + rows sigma_z^2,   levels = J - sum_j |h_j|^2 / a_j,

if the other random effects are left out. u has no part in Q, which takes so much of what levels could
explain. Where the design is balanced, rows = n - sum_j |h_j|^2, and elsewhere it is nearly that.
"""

from typing import NamedTuple

from jaxtyping import Float

from ._types import Array, namespace


class Between(NamedTuple):
    """How much each column of a factor's z explains by itself, and beyond the factor that this is nested in.

    Attributes
    ----------
    squares
        sum_j b_j^2 / a_j, shape (q,), less that of the factor around.
    levels, rows
        How often sigma^2 and the variance of the column are expected in squares, shape (q,).
    products
        sum_j b_j b_j', shape (q, q).
    noise
        squares / levels of the factor within, shape (q,): what is expected of this one if it has no variance.
        `None` where that is the residual variance.
    """

    squares: Float[Array, " q"]
    levels: Float[Array, " q"]
    rows: Float[Array, " q"]
    products: Float[Array, "q q"]
    noise: Float[Array, " q"] | None = None


def between(
    a: Float[Array, "J q"], B: Float[Array, "J q c"], counts: Float[Array, " J"], reml: bool
) -> Between:
    """Return what levels explain, those without rows left out, given products of z with itself and [Q u].

    Parameters
    ----------
    a, B
        Products of each column of z with itself, and of z with [Q u], the response last.
    counts
        How many levels each row of B stands for; its squares are the sums of theirs.
    reml
        Whether Q takes its part, as in unbiased estimates; else nothing is taken, as in maximum likelihood.
    """
    b, h = B[:, :, -1], B[:, :, :-1]
    return between_alike(a, b[:, :, None] * b[:, None, :], (h**2).sum(-1), counts, reml)


def between_alike(
    a: Float[Array, "U q"],
    products: Float[Array, "U q q"],
    taken: Float[Array, "U q"],
    counts: Float[Array, " U"],
    reml: bool,
) -> Between:
    """Do so given how many levels are alike, and the sums of their b b' and |h|^2."""
    xp = namespace(a, products)
    seen, b2 = a > 0, xp.diagonal(products, axis1=1, axis2=2)

    def relative(squares: Float[Array, "U q"]) -> Float[Array, " q"]:
        return xp.where(seen, squares / xp.where(seen, a, 1.0), 0.0).sum(0)

    levels, rows = counts @ seen, counts @ a
    if reml:
        levels, rows = levels - relative(taken), rows - taken.sum(0)
    return Between(relative(b2), levels, rows, products.sum(0))
