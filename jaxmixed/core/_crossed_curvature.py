"""Derivatives of log|V| and X'V^-1X in the variances of crossed random effects, in closed form.

V is linear in the elements of every Psi_t, so that with F_ts = Z_t'V^-1Z_s and R_t = Z_t'V^-1[X y]

    d log|V| / d psi_i             =  tr(F_tt E_i)
    d^2 log|V| / d psi_i d psi_j   = -tr(F_ts E_j F_st E_i)
    d S / d psi_i                  = -R_t'E_i R_t
    d^2 S / d psi_i d psi_j        =  R_t'E_i F_ts E_j R_s + transpose

for psi_i of term t and psi_j of term s, E acting on every level. With e eliminated and the others o
dense, W = I - A K on either side, and A~ = A_oo - A_oe K_e A_eo,

    F_oo = W_o A~,   F_eo = W_e A_eo W_o',   F_ee = W_e A_ee - W_e A_eo K_o A_oe W_e'

where K_e is block diagonal and F_ee and F_eo are never formed: only what they add up to over the levels of
e is. Where Psi_o can be inverted, so is all that is D x D, but for one product for every direction of e:

    K_o = (A~ + Psi_o^-1)^-1,   W_o = Psi_o^-1 K_o,   F_oo = Psi_o^-1 - W_o Psi_o^-1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ._dense import symmetric
from ._schur_derivatives import derivatives_of_schur, places
from ._structure import Curvature, Directions, Factors
from ._types import Array, namespace

if TYPE_CHECKING:
    from ._crossed import Crossed

SMALLEST = (
    1e-3  # standard deviation, relative to sigma, whose Psi is inverted: its square costs half the digits
)


def crossed_curvature(
    crossed: Crossed, factors: Factors, directions: Directions, C: Float[Array, "c c"]
) -> Curvature:
    """Return `Structure.curvature` of crossed factors."""
    solved = crossed.solve(factors, C)
    xp = namespace(solved.K)
    reach = _Reach(crossed, factors, solved)
    scores = reach.scores(crossed.responses())

    own, *others = crossed.order
    E_own = directions[own]
    F = reach.W @ crossed.A
    through = reach.W @ crossed.couplings.spread(reach.K_others) @ reach.W.swapaxes(1, 2)  # X_j K_o X_j'
    d_logdet = [xp.einsum("jab,kab->k", F - through, E_own)]
    d_logdet += [xp.einsum("jajb,kab->k", _blocks(crossed, reach.F, t, t), directions[t]) for t in others]

    FE, QE = F @ E_own[:, None], through @ E_own[:, None]
    within = _traces(FE, FE).sum(2) - _traces(FE, QE).sum(2) - _traces(QE, FE).sum(2)
    KG, WG = zip(*(reach.around(E) for E in E_own), strict=True)
    within = within + xp.stack([xp.stack([(a * b.T).sum() for b in KG]) for a in KG])
    against = {t: _against(crossed, reach, WG, t, directions[t]) for t in others}
    rows = [[within, *against.values()]]
    for a in others:
        from_own = against[a].T
        rows.append([from_own, *(_across(crossed, reach.F, a, b, directions) for b in others)])
    dd_logdet = xp.concatenate([xp.concatenate(row, axis=1) for row in rows])

    d_schur, dd_schur = derivatives_of_schur(scores, directions, lambda b: reach.scores(crossed.times(b)))
    inside = np.argsort(np.concatenate([places(directions)[t] for t in crossed.order]))
    return Curvature(
        solved.reduced.logdet,
        solved.reduced.schur,
        xp.concatenate(d_logdet)[inside],
        d_schur,
        -dd_logdet[inside][:, inside],
        dd_schur,
    )


class _Reach:
    """What Z'V^-1 does to columns, once the factors have been solved for."""

    def __init__(self, crossed: Crossed, factors: Factors, solved):
        xp = namespace(solved.K)
        left = crossed._left_transposed
        A, K = crossed.A, solved.K
        self.crossed, self.K = crossed, K
        self.W = xp.eye(A.shape[-1], dtype=A.dtype) - A @ K
        half = left(factors, solved.inverse)
        self.K_others = left(factors, half.T)
        self.back = _precisions(crossed, factors)
        if self.back is None:
            dense = symmetric(crossed.A_others - crossed.couplings.fill(K))
            self.W_others = xp.eye(len(dense), dtype=dense.dtype) - dense @ self.K_others
            self.F = self.W_others @ dense
        else:
            eye = xp.eye(len(half), dtype=half.dtype)
            self.W_others = crossed._blockwise(self.back, self.K_others)
            self.F = crossed._blockwise(self.back, eye - self.W_others.T)

    def scores(self, B: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return Z_t'V^-1 v of each term, given Z_t'W v, shapes (J, q, m)."""
        crossed, m = self.crossed, B[0].shape[2]
        own = B[crossed.order[0]]
        flat = namespace(*B).concatenate([B[t].reshape(-1, m) for t in crossed.order[1:]])
        columns = flat - crossed.couplings.to_others(self.K @ own)
        from_others = crossed.couplings.to_own(self.K_others @ columns)
        scored = self.W @ (own - from_others)
        pieces = crossed._pieces(self.W_others @ columns)
        return crossed._by_term(scored, [piece.reshape(J, q, m) for piece, (J, q) in pieces])

    def around(self, E: Float[Array, "q q"]) -> tuple[Float[Array, "D D"], Float[Array, "D D"]]:
        """Return K_o G and W_o G, G = A_oe W_e'E W_e A_eo."""
        G = symmetric(self.crossed.couplings.fill(self.W.swapaxes(1, 2) @ E @ self.W))
        KG = self.K_others @ G
        return KG, self.W_others @ G if self.back is None else self.crossed._blockwise(self.back, KG)


def _precisions(crossed: Crossed, factors: Factors) -> list[Float[np.ndarray, "q q"]] | None:
    """Return Psi^-1 of the others; `None` where one is nearly singular, or while tracing."""
    others = [factors[t] for t in crossed.order[1:]]
    if namespace(*others, crossed.A) is not np:
        return None
    if min(np.linalg.svd(L, compute_uv=False)[-1] for L in others) < SMALLEST:
        return None
    roots = [np.linalg.solve(L, np.eye(len(L), dtype=L.dtype)) for L in others]
    return [root.T @ root for root in roots]


def _blocks(crossed: Crossed, matrix, row: int, column: int):
    """View the part of a D x D matrix between two terms as (J, q, J, q)."""
    ends = np.cumsum([0, *(J * q for J, q in crossed.sizes)])
    i, j = crossed.order.index(row) - 1, crossed.order.index(column) - 1
    part = matrix[ends[i] : ends[i + 1], ends[j] : ends[j + 1]]
    return part.reshape(*crossed.sizes[i], *crossed.sizes[j])


def _against(crossed: Crossed, reach: _Reach, WG: tuple, t: int, E):
    """Return tr(W_o G_i W_o' E_j) for the directions of e and those of another term."""
    xp, place = namespace(E, *WG), crossed.order.index(t) - 1
    (rows, (J, q)), size = crossed._pieces(reach.W_others)[place], reach.W_others.shape[1]
    W = rows.reshape(J, q, size)
    around = [crossed._pieces(product)[place][0].reshape(J, q, size) for product in WG]
    return xp.stack([xp.einsum("ab,kab->k", xp.einsum("jad,jbd->ab", M, W), E) for M in around])


def _across(crossed: Crossed, F, a: int, b: int, directions: Directions):
    """Return tr(F_ab E_j F_ba E_i) for the directions of two of the others."""
    xp = namespace(F)
    block = _blocks(crossed, F, a, b)
    products = xp.einsum("iakb,icke->acbe", block, block)
    return xp.einsum("acbe,iac,jbe->ij", products, directions[a], directions[b])


def _traces(left, right):
    return namespace(left).einsum("kjab,ljba->klj", left, right)
