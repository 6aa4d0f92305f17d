"""Derivatives of [X y]'V^-1[X y] in variances of crossed random effects, given how to multiply by Z'V^-1Z.

With R_t = Z_t'V^-1[X y] and F_ts = Z_t'V^-1Z_s,

    d S / d psi_i             = -R_t'E_i R_t
    d^2 S / d psi_i d psi_j   =  R_t'E_i F_ts E_j R_s + transpose

for psi_i of term t and psi_j of term s, E acting on every level.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from ._plan import Products
from ._structure import Directions, both_ways
from ._types import Array, namespace, pad


def derivatives_of_schur(
    scores: Products, directions: Directions, through: Callable[[Products], Products]
) -> tuple[Float[Array, "k c c"], Float[Array, "k k c c"]]:
    """Return the first and second derivatives of S.

    Parameters
    ----------
    scores
        R_t of every term.
    directions
        E_i of every term.
    through
        Multiplies random effects, one array a term, by F.
    """
    xp, c, inside = namespace(*scores), scores[0].shape[2], places(directions)
    k = sum(map(len, inside.values()))
    Y, d_schur = [], []
    for t, (R, E) in enumerate(zip(scores, directions, strict=True)):
        moved = xp.einsum("kab,jbc->jakc", E, R)
        d_schur.append(-xp.einsum("jac,jakd->kcd", R, moved))
        before, after = inside[t][0], k - inside[t][-1] - 1
        Y.append(pad(moved, ((0, 0), (0, 0), (before, after), (0, 0))).reshape(*R.shape[:2], k * c))
    FY = through(tuple(Y))
    half = xp.stack([xp.einsum("jam,jan->mn", y, fy) for y, fy in zip(Y, FY, strict=True)]).sum(0)
    return xp.concatenate(d_schur), both_ways(half.reshape(k, c, k, c).swapaxes(1, 2))


def places(directions: Directions) -> dict[int, np.ndarray]:
    """Return the positions of each term's directions among all."""
    ends = np.cumsum([0, *map(len, directions)])
    return {t: np.arange(a, b) for t, (a, b) in enumerate(pairwise(ends))}
