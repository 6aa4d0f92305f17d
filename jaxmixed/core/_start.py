"""Where the search for theta starts: variances by the method of moments.

What levels explain of the response u is linear in Psi and sigma^2 (`_between`). So sigma^2 is found from
what they leave, and then the elements of Psi, from the last column of z to the first. Of nested factors each
counts beyond the one around it, and is measured by the one within it. This is the analysis of variance: where
the design is balanced and no variance is zero, it is the minimum already; elsewhere it is near.
"""

import numpy as np
from jaxtyping import Float

from ._between import Between
from ._covariance import Blocks, pack_all
from ._small import UNROLLED
from ._suffstats import SuffStats
from ._types import Array, Scalar, Theta, namespace

SMALLEST = 0.02  # of the mean square of u, kept for the residuals and for every random effect
HIGHEST = 0.95  # correlation to start with: perfect ones are on the boundary
NO_ROWS = 1e-6  # of the rows: fixed effects for every level leave none


def default_start(stats: SuffStats, reml: bool) -> Theta:
    """Return a conditioned theta."""
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
        psi = _covariances(b, noise, NO_ROWS * n, blocks) / residual
        sd = xp.sqrt(xp.diagonal(psi))
        if max(blocks) == 1 or len(sd) > UNROLLED:
            return xp.diag(sd)
        return sd[:, None] * _unit_root(psi / (sd[:, None] * sd), blocks)

    factors = [factor(*each) for each in zip(between, stats.blocks, strict=True)]
    return pack_all(factors, stats.blocks).astype(stats.C.dtype)


def _covariances(b: Between, noise: Array, least: Scalar, blocks: Blocks) -> Float[Array, "q q"]:
    """Return Psi; of more columns than are written out its diagonal."""
    xp, place = namespace(b.moments), np.repeat(np.arange(len(blocks)), blocks)
    known, own = b.squares - b.levels * noise, b.own_rows
    if b.rows.ndim == 1:
        return xp.diag(xp.where(own > least, xp.maximum(known / xp.maximum(own, least), SMALLEST), SMALLEST))
    q, psi = len(place), []
    # In each of the moments there are only elements of Psi that come later.
    for c in reversed(range(q)):
        for d in reversed(range(c, q)):
            if place[c] != place[d]:
                continue
            value = known[c] if c == d else b.moments[c, d]
            if psi:
                value = value - (b.rows[c, d] * sum(psi)).sum()
            value = value / xp.maximum(b.rows[c, d, c, d], least)
            if c == d:
                value = xp.where(own[c] > least, xp.maximum(value, SMALLEST), SMALLEST)
            at = np.zeros((q, q), b.moments.dtype)
            at[c, d] = at[d, c] = 1
            psi.append(value * at)
    return sum(psi)


def _unit_root(correlations: Float[Array, "q q"], blocks: Blocks) -> Float[Array, "q q"]:
    """Return L, lower triangular, LL' being the correlations, brought away from the boundary."""
    xp, place = namespace(correlations), np.repeat(np.arange(len(blocks)), blocks)
    L = np.eye(sum(blocks)).tolist()
    for i, j in zip(*np.tril_indices(len(L)), strict=True):
        if place[i] == place[j]:
            known = sum(L[i][k] * L[j][k] for k in range(j))
            if i == j:
                L[i][i] = xp.sqrt(xp.maximum(1 - known, 1 - HIGHEST))
            else:
                L[i][j] = (xp.clip(correlations[i, j], -HIGHEST, HIGHEST) - known) / L[j][j]
    return xp.stack([xp.stack([xp.asarray(x, correlations.dtype) for x in row]) for row in L])
