"""The criterion of very many one-factor fits with its gradient and Hessian, in closed form.

With F_j = Z_j'V^-1Z_j, R_j = Z_j'V^-1[X y], S = [X y]'V^-1[X y], and for each fit

    N = [S_XX^-1 0; 0 0] + dof / pwrss vv',     v = (-gamma, 1),     T_j = R_j N R_j',

(for ML without the first term of N), a direction E in Psi = Lambda Lambda' changes the criterion by tr(G E),
G = sum_j F_j - T_j, and two of them by

    sum_j tr(E F_j E' (2 T_j - F_j)) - tr(P S_E P S_E') - dof / pwrss (2 m_E'P m_E' + s_E s_E' / pwrss),
    S_E = -sum_j R_j'E R_j,     (m_E, .) = S_E v,     s_E = v'S_E v,     P = S_XX^-1.

dPsi / dLambda_rx = e_r lambda_x' + lambda_x e_r', with lambda_x the columns of Lambda, makes these the
derivatives in the entries of Lambda. Only the sums of F_j and T_j, of products of their elements, and of
products of the elements of R_j go over the levels; Lambda is multiplied in when they are taken.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._covariance import Blocks, basis, positions
from ._criterion import TWO_PI
from ._lane_algebra import Lanes, contract, logdet_inverse, over_levels, sums_of_products
from ._newton import Evaluation
from ._one_factor import OneFactor
from ._suffstats import SuffStats


class ByLevel(NamedTuple):
    """Products of single levels with [X y], B of shape (q, c, J, L)."""

    B: Lanes

    def explained(self, K: Lanes) -> Lanes:
        """Return sum_j B_j'K_jB_j."""
        return over_levels(contract("ic,id->cd", self.B, contract("ij,jd->id", K, self.B)))

    def pairs(self, W: Lanes) -> Lanes:
        """Return the sums of products of two elements of R_j, shape (q, c, q, c, 1, L)."""
        R = contract("ab,bc->ac", W, self.B)
        shape = R.shape[:2]
        return sums_of_products(R.reshape(-1, *R.shape[2:])).reshape(*shape, *shape, 1, -1)

    def within(self, W: Lanes, N: Lanes) -> Lanes:
        """Return T_j."""
        R = contract("ab,bc->ac", W, self.B)
        return contract("ac,bc->ab", contract("ad,cd->ac", R, N), R)


class ByPattern(NamedTuple):
    """Products summed over the levels of each pattern, G of shape (q, q, c, c, U, L)."""

    G: Lanes

    def explained(self, K: Lanes) -> Lanes:
        """Return sum_u <K_u, G_u>."""
        return over_levels(contract("ij,ijcd->cd", K, self.G))

    def pairs(self, W: Lanes) -> Lanes:
        """Return the sums of products of two elements of R_j."""
        return over_levels(contract("ai,icbd->acbd", W, contract("bj,ijcd->icbd", W, self.G)))

    def within(self, W: Lanes, N: Lanes) -> Lanes:
        """Return the sum of T_j over the levels of each pattern."""
        inside = (self.G * N[None, None]).sum((2, 3))  # written out, N would be computed for each term
        return contract("aj,bj->ab", contract("ai,ij->aj", W, inside), W)


class LaneStats(NamedTuple):
    """Statistics of many fits, axes in the order of `Lanes`."""

    products: ByLevel | ByPattern
    counts: Lanes
    A: Lanes
    C: Lanes
    n: Lanes
    constant: Lanes  # of the criterion


def lane_stats(own: SuffStats, shared: SuffStats, reml: bool) -> LaneStats:
    """Bring statistics into order, given what each fit has, lanes last, and what all have in common."""

    def whole(name: str) -> Lanes:
        return jnp.expand_dims(_own_or_shared(own, shared, name), -2)

    def by_level(name: str) -> Lanes:
        return jnp.moveaxis(_own_or_shared(own.structure, shared.structure, name), 0, -2)

    A, n, R = by_level("A"), whole("n"), whole("R")
    if isinstance(own.structure, OneFactor):
        products, counts = ByLevel(by_level("B")), jnp.ones((A.shape[2], 1), A.dtype)
    else:
        products, counts = ByPattern(by_level("G")), by_level("counts")
    dof = n - len(R) if reml else n
    constant = dof * (1 + np.log(TWO_PI) - jnp.log(dof) + 2 * jnp.log(whole("scale")))
    constant = constant - whole("log_weights")
    if reml:
        constant = constant + 2 * sum(jnp.log(jnp.abs(R[i, i])) for i in range(len(R)))
    return LaneStats(products, counts, A, whole("C"), n, constant)


def _own_or_shared(own: Any, shared: Any, name: str) -> Float[jax.Array, "*axes L"]:
    """Return an array that each fit has, or one that all have, with an axis of length one for the fits."""
    leaf = getattr(own, name)
    return getattr(shared, name)[..., None] if leaf is None else leaf


def evaluate(theta: Float[jax.Array, "k L"], stats: LaneStats, blocks: Blocks, reml: bool) -> Evaluation:
    """Return values (L,), gradients (m, L) and Hessians (m, m, L) in all entries of Lambda, theta's first."""
    p = len(stats.C) - 1
    L = contract("k,kab->ab", theta[:, None], jnp.asarray(basis(blocks), theta.dtype)[..., None, None])
    logdet, K, W, F = _eliminated(L, stats.A)
    schur = stats.C - stats.products.explained(K)
    log_XX, P = logdet_inverse(schur[:p, :p])
    gamma = contract("ab,b->a", P, schur[:p, p])
    pwrss = schur[p, p] - contract("a,a->", schur[p, :p], gamma)
    dof = stats.n - p if reml else stats.n
    value = over_levels(stats.counts * logdet) + dof * jnp.log(pwrss) + stats.constant
    v = jnp.concatenate([-gamma, jnp.ones((1, *pwrss.shape), pwrss.dtype)])
    weight = dof / pwrss
    N = weight * v[:, None] * v[None, :]
    if reml:
        value = value + log_XX
        N = N.at[:p, :p].add(P)
    T, half = stats.products.within(W, N), contract("rcbd,bx->rxcd", stats.products.pairs(W), L)
    S = _picked(-(half + half.swapaxes(2, 3)), blocks)
    gradient, hessian = _along(L, F, T, stats.counts, blocks)
    hessian = hessian - _through_profile(S, v, P, pwrss, weight, reml)
    return value[0], gradient[:, 0], hessian[:, :, 0]


def _eliminated(L: Lanes, A: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Return log|M|, K, W = I - A K and F = W A, with M = I + L'AL and K = L M^-1 L'."""
    unit = jnp.eye(len(A), dtype=A.dtype)[..., None, None]
    logdet, inverse = logdet_inverse(unit + contract("ax,ay->xy", L, contract("ab,by->ay", A, L)))
    K = contract("ax,bx->ab", contract("ay,yx->ax", L, inverse), L)
    W = unit - contract("ab,bc->ac", A, K)
    return logdet, K, W, contract("ab,bc->ac", W, A)


def _along(L: Lanes, F: Lanes, T: Lanes, counts: Lanes, blocks: Blocks) -> tuple[Lanes, Lanes]:
    """Return the derivatives of the criterion but for what S does twice."""
    Q, G = 2 * T - counts * F, over_levels(counts * F - T)
    FQ = over_levels(contract("ab,cd->abcd", F, Q))
    FQ = FQ + jnp.moveaxis(FQ, (2, 3), (0, 1))
    both = jnp.moveaxis(FQ, (0, 1, 2, 3), (2, 1, 0, 3)) + jnp.moveaxis(FQ, (1, 2), (2, 1))
    same = jnp.eye(len(L), dtype=L.dtype)[..., None, None]
    whole = contract("rbsy,bx->rxsy", contract("rbsd,dy->rbsy", both, L), L)
    whole = whole + 2 * contract("rs,xy->rxsy", G, same)
    return _picked(2 * contract("ab,bx->ax", G, L), blocks), _picked_pairs(whole, blocks)


def _through_profile(S: Lanes, v: Lanes, P: Lanes, pwrss: Lanes, weight: Lanes, reml: bool) -> Lanes:
    """Return what changes of S do to the criterion two at a time."""
    moved = contract("kcd,d->kc", S, v)
    slope, across = contract("kc,c->k", moved, v), moved[:, :-1]
    found = 2 * contract("ka,la->kl", contract("kb,ab->ka", across, P), across)
    found = weight * (found + slope[:, None] * slope[None, :] / pwrss)
    if reml:
        PS = contract("ab,kbc->kac", P, S[:, :-1, :-1])
        found = found + contract("kab,lba->kl", PS, PS)
    return found


def _picked(matrix: Lanes, blocks: Blocks) -> Lanes:
    """Return the entries of each block, those of theta first, from an array of shape (q, q, ...)."""
    row, column = positions(blocks)
    above = row != column
    rows, columns = np.append(row, column[above]), np.append(column, row[above])
    return jnp.stack([matrix[r, x] for r, x in zip(rows, columns, strict=True)])


def _picked_pairs(whole: Lanes, blocks: Blocks) -> Lanes:
    return _picked(jnp.moveaxis(_picked(whole, blocks), 0, 2), blocks).swapaxes(0, 1)
