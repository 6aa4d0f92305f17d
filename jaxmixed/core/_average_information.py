"""A Hessian for large crossed models that costs no more than a few solves.

In psi, the elements of Psi_t = Lambda_t Lambda_t', the covariance V is linear. With dV_a = Z dPsi_a Z',
the response enters the second derivatives through F'PF, F = [dV_a P y], which is exact and cheap, while
tr(P dV_a P dV_b) is replaced by the value it has on average, f_a'P f_b / sigma^2 (Gilmour, Thompson &
Cullis 1995, doi:10.2307/2533274). The chain rule from psi to theta adds the curvature of Psi(theta), so that the
matrix is right at zero variances too.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._covariance import basis, positions, relative_factors, split
from ._criterion import deviance, profile_out
from ._crossed import Crossed
from ._newton import Evaluation
from ._structure import Factors
from ._suffstats import SuffStats
from ._types import Array, Scalar, Theta


class _Solved(NamedTuple):
    schur: Float[Array, "c c"]
    K: Float[Array, "J q q"]
    reduced: Float[Array, "D c"]
    inverse: Float[Array, "D D"]


def value_gradient_information(theta: Theta, stats: SuffStats, reml: bool) -> Evaluation:
    """Return the criterion, its exact gradient and its average information at a conditioned theta."""

    def value(theta):
        reduced, *parts = structure.solve(relative_factors(theta, stats.blocks), stats.C)
        return deviance(reduced, stats, reml), _Solved(reduced.schur, *parts)

    structure = stats.structure
    assert isinstance(structure, Crossed)
    (criterion, solved), gradient = jax.value_and_grad(value, has_aux=True)(theta)
    return criterion, gradient, _information(theta, gradient, solved, stats, reml)


def _information(theta: Theta, gradient: Theta, solved: _Solved, stats: SuffStats, reml: bool):
    structure, factors = stats.structure, relative_factors(theta, stats.blocks)
    profiled = profile_out(solved.schur)
    dof = stats.n - stats.p if reml else stats.n
    variance = profiled.pwrss / dof
    v = jnp.concatenate([-profiled.gamma, jnp.ones(1, theta.dtype)])
    modes = structure.modes_from(factors, solved.K, solved.reduced, solved.inverse, v)
    # Z'P y, the score of the random effects
    fitted = structure.times(modes)
    scores = [B @ v - f for B, f in zip(structure.responses(), fitted, strict=True)]

    directions, slopes = _working_effects(factors, scores, stats.blocks)
    curvature = _projected_gram(factors, directions, solved, stats)
    second = jnp.outer(slopes, slopes) / (variance**2 * dof)
    information = curvature / variance - second
    return information + _chain_rule(theta, gradient, stats.blocks)


def _working_effects(factors: Factors, scores: list, blocks):
    """Return dPsi_a Z'Py for every element of theta, one (J, q, k) array a term, and y'P dV_a P y."""
    k_total = sum(len(basis(b)) for b in blocks)
    directions, slopes, first = [], [], 0
    for L, score, b in zip(factors, scores, blocks, strict=True):
        E = jnp.asarray(basis(b), L.dtype)
        dPsi = E @ L.T + L @ jnp.swapaxes(E, 1, 2)
        w = jnp.einsum("aij,lj->lia", dPsi, score)
        slopes.append(jnp.einsum("li,lia->a", score, w))
        padding = (first, k_total - first - len(E))
        directions.append(jnp.pad(w, ((0, 0), (0, 0), padding)))
        first += len(E)
    return tuple(directions), jnp.concatenate(slopes)


def _projected_gram(factors: Factors, directions, solved: _Solved, stats: SuffStats):
    """Return F'PF for F = Z w, by eliminating random and fixed effects from [X F] as from [X y]."""
    structure, p = stats.structure, stats.p
    products = structure.times(directions)
    FF = sum(jnp.einsum("lia,lib->ab", w, m) for w, m in zip(directions, products, strict=True))
    responses = structure.responses()
    XF = sum(jnp.einsum("lic,lia->ca", B[..., :p], w) for B, w in zip(responses, directions, strict=True))
    B = tuple(jnp.concatenate([b[..., :p], m], axis=2) for b, m in zip(responses, products, strict=True))
    C = jnp.block([[stats.C[:p, :p], XF], [XF.T, FF]])
    schur = structure.with_responses(B).schur_from(factors, C, solved.K, solved.inverse)
    inverse = profile_out(solved.schur).inverse
    return schur[p:, p:] - schur[p:, :p] @ inverse @ schur[:p, p:]


def _chain_rule(theta: Theta, gradient: Theta, blocks):
    """Return the diagonal of sum_ij (d criterion / d Psi_ij) d^2 Psi_ij / d theta^2.

    The derivative by Psi is read off the diagonal of Lambda, d criterion / d Lambda_rr = 2 Lambda_rr
    (d criterion / d Psi_rr), which is all there is for scalar random effects; the correction vanishes
    with the gradient, except for variances that tend to zero.
    """
    pieces = []
    for piece, slope, b in zip(split(theta, blocks), split(gradient, blocks), blocks, strict=True):
        row, column = positions(b)
        diagonal = np.flatnonzero(row == column)
        root = piece[diagonal]
        floor = jnp.sqrt(jnp.finfo(theta.dtype).eps)
        by_variance = slope[diagonal] * jnp.sign(root) / jnp.maximum(jnp.abs(root), floor)
        pieces.append(by_variance[row])
    return jnp.diag(jnp.concatenate(pieces))
