"""Where the search for theta starts: variances by the method of moments.

One column of z~ at a time, with a_j and b_j the products of z~_j with itself and with the response u,

    E sum_j b_j^2 / a_j = levels sigma^2 + rows sigma_z^2

if the other random effects are left out (`_between`). Of nested factors each counts beyond the one around it,
and is measured by the one within it. This is the analysis of variance: where the design is balanced and no
variance is zero, it is the minimum already; elsewhere it is near.
"""

import numpy as np
from jaxtyping import Float

from ._between import Between
from ._covariance import Blocks, pack_all
from ._small import UNROLLED
from ._suffstats import SuffStats
from ._types import Array, Theta, namespace

SMALLEST = 0.02  # of the mean square of u, kept for the residuals and for every random effect
SIGNAL = 0.3  # of the squares of b, kept for the random effects where noise seems to make up more
HIGHEST = 0.95  # correlation to start with: perfect ones are on the boundary


def default_start(stats: SuffStats, reml: bool) -> Theta:
    """Return a conditioned theta, its Lambda~ with the correlations that b shows."""
    xp, n = namespace(stats.C), stats.n
    free = n - stats.p if reml else n
    between = stats.structure.between(reml)
    squares = xp.stack([b.squares.sum() for b in between])
    levels = xp.stack([b.levels.sum() for b in between])
    left = (n - squares.sum()) / xp.maximum(free - levels.sum(), 1.0)
    alone = ((n - squares) / xp.maximum(free - levels, 1.0)).min()
    # Factors that explain much of the same leave nothing when they are added up.
    residual = xp.clip(xp.where(left > SMALLEST, left, alone), SMALLEST, n / xp.maximum(free, 1.0))

    def factor(b: Between, blocks: Blocks) -> Float[Array, "q q"]:
        noise = residual if b.noise is None else xp.maximum(b.noise, residual)
        # Fixed effects for every level leave no rows.
        variance = (b.squares - b.levels * noise) / xp.maximum(b.rows, SMALLEST * n)
        sd = xp.sqrt(xp.maximum(variance, SMALLEST) / residual)
        if max(blocks) == 1:
            return xp.diag(sd)
        return sd[:, None] * _unit_root(b.products, b.rows * residual, blocks)

    factors = [factor(*each) for each in zip(between, stats.blocks, strict=True)]
    return pack_all(factors, stats.blocks).astype(stats.C.dtype)


def _unit_root(
    products: Float[Array, "q q"], noise: Float[Array, " q"], blocks: Blocks
) -> Float[Array, "q q"]:
    """Return L, lower triangular, LL' being the correlations of the random effects of each block.

    Columns of z~ are orthogonal over all rows, so that only the diagonal of the products b b' has noise in
    it. Blocks too large to be written out start without correlations.
    """
    xp, place = namespace(products), np.repeat(np.arange(len(blocks)), blocks)
    squares = xp.diagonal(products)
    size = xp.sqrt(xp.maximum(squares - noise, SIGNAL * squares))
    size = xp.where(size > 0, size, 1.0)
    L = np.eye(sum(blocks)).tolist()
    for i, j in zip(*np.tril_indices(len(L)), strict=True):
        if place[i] == place[j] and blocks[place[i]] <= UNROLLED:
            known = sum(L[i][k] * L[j][k] for k in range(j))
            if i == j:
                L[i][i] = xp.sqrt(xp.maximum(1 - known, 1 - HIGHEST))
            else:
                found = products[i, j] / (size[i] * size[j])
                L[i][j] = (xp.clip(found, -HIGHEST, HIGHEST) - known) / L[j][j]
    return xp.stack([xp.stack([xp.asarray(x, products.dtype) for x in row]) for row in L])
