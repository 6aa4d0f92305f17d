"""What the levels of a factor explain of the response: the strata of an analysis of variance.

With A_j, b_j and H_j the products of z_j with itself, with the response u and with Q, let A_j = R_j R_j'.
A level explains |R_j^-1 b_j|^2 of u, one column of z after the other, and

    E sum_j (R_j^-1 b_j) (R_j^-1 b_j)' = sum_j e_j (R_j' Psi R_j + sigma^2 I),     e_j = 1 - |R_j^-1 H_j|^2,

with an e_j for each column: u has no part in Q, which takes so much of what a level could explain. This holds
exactly if the design is balanced, and nearly elsewhere.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._small import UNROLLED
from ._types import Array, namespace

NEGLIGIBLE = 1e-9  # of the square of a column: what is left of one that depends on others


class Between(NamedTuple):
    """What a factor explains by itself, or beyond the factor that it is nested in.

    Attributes
    ----------
    moments
        sum_j (R_j^-1 b_j) (R_j^-1 b_j)', shape (q, q), less those of the factor around.
    levels
        How often sigma^2 is expected in each diagonal element, shape (q,).
    rows
        How often each element of Psi is expected in each of moments, shape (q, q, q, q); from more columns
        than are written out, of the diagonal elements only, shape (q,), each column taken by itself.
    noise
        moments / levels of the factor within, shape (q,): what is expected of this one if it has no variance.
        `None` where that is the residual variance.
    """

    moments: Float[Array, "q q"]
    levels: Float[Array, " q"]
    rows: Float[Array, "q q q q"] | Float[Array, " q"]
    noise: Float[Array, " q"] | None = None

    @property
    def squares(self) -> Float[Array, " q"]:
        """What each column explains."""
        return namespace(self.moments).diagonal(self.moments)

    @property
    def own_rows(self) -> Float[Array, " q"]:
        """How often the variance of each column is expected in its square."""
        q = np.arange(len(self.levels))
        return self.rows if self.rows.ndim == 1 else self.rows[q, q, q, q]


def between(
    A: Float[Array, "J q q"], B: Float[Array, "J q c"], reml: bool, counts: Float[Array, " J"] | None = None
) -> Between:
    """Return what levels explain, given products of z with itself and [Q u].

    Parameters
    ----------
    A, B
        Products of z with itself, and with [Q u], the response last; zero for levels without rows.
    reml
        Whether Q takes its part, as in unbiased estimates; else nothing is taken, as in maximum likelihood.
    counts
        How many levels each row of B stands for, its squares being the sums of theirs; one by default.
    """
    counts = namespace(B).ones_like(B[:, 0, 0]) if counts is None else counts
    R, W = _roots(A)
    explained = W @ B
    b, taken = explained[:, :, -1], (explained[:, :, :-1] ** 2).sum(2)
    return _stratum(R, b.T @ b, taken, counts, reml)


def between_alike(
    A: Float[Array, "U q q"],
    products: Float[Array, "U q q"],
    taken: Float[Array, "U q q"],
    counts: Float[Array, " U"],
    reml: bool,
) -> Between:
    """Do so given how many levels are alike, and the sums of their b b' and H H'."""
    R, W = _roots(A)
    moments = (W @ products @ W.swapaxes(1, 2)).sum(0)
    return _stratum(R, moments, ((W @ taken) * W).sum(2), counts, reml)


def _stratum(
    R: Float[Array, "U q q"],
    moments: Float[Array, "q q"],
    taken: Float[Array, "U q"],
    counts: Float[Array, " U"],
    reml: bool,
) -> Between:
    """Count what is expected in the moments, given |R_j^-1 H_j|^2."""
    xp, q, root = namespace(R), R.shape[1], namespace(R).diagonal(R, axis1=1, axis2=2)
    every = counts[:, None] * (root > 0)  # levels without rows have no root
    if reml:
        every = xp.maximum(every - taken, 0.0)
    if q > UNROLLED:
        return Between(moments, every.sum(0), (every * root**2).sum(0))
    scaled = (R * xp.sqrt(every)[:, None]).reshape(len(R), q * q)
    rows = (scaled.T @ scaled).reshape(q, q, q, q).transpose(1, 3, 0, 2)
    return Between(moments, every.sum(0), rows)


def _roots(A: Float[Array, "U q q"]) -> tuple[Float[Array, "U q q"], Float[Array, "U q q"]]:
    """Return lower-triangular R, A = R R', and its inverse, zero for columns that depend on those before."""
    xp, (U, q, _) = namespace(A), A.shape
    unit = np.eye(q, dtype=A.dtype)
    if q > UNROLLED:
        root = xp.sqrt(xp.diagonal(A, axis1=1, axis2=2))
        inverse = xp.where(root > 0, 1 / xp.where(root > 0, root, 1.0), 0.0)
        return root[:, None] * unit, inverse[:, None] * unit
    R, W = [], []
    for c in range(q):
        column, w = A[:, :, c], xp.broadcast_to(unit[c], (U, q))
        row = [(before * column).sum(1) for before in W]
        for size, before in zip(row, W, strict=True):
            w = w - size[:, None] * before
        left = (w * column).sum(1)
        seen = left > NEGLIGIBLE * column[:, c]
        size = xp.sqrt(xp.where(seen, left, 1.0))
        W.append(xp.where(seen[:, None], w / size[:, None], 0.0))
        row += [xp.where(seen, size, 0.0), *[xp.zeros_like(left)] * (q - c - 1)]
        R.append(xp.stack(row, axis=1))
    return xp.stack(R, axis=1), xp.stack(W, axis=1)
