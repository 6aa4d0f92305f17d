"""A Hessian for large crossed models that costs no more than a few solves.

In psi, the elements of Psi_t = Lambda_t Lambda_t', the covariance V is linear. With dV_a = Z dPsi_a Z',
the response enters the second derivatives through F'PF, F = [dV_a P y], which is exact and cheap, while
tr(P dV_a P dV_b) is replaced by the value it has on average, f_a'P f_b / sigma^2 (Gilmour, Thompson &
Cullis 1995, doi:10.2307/2533274). The chain rule from psi to theta adds the curvature of Psi(theta),
so that the matrix is right at zero variances too.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._covariance import basis, positions, relative_factors, split
from ._criterion import deviance, profile_out
from ._iterative import AnyCrossed
from ._newton import Evaluation
from ._structure import Factors
from ._suffstats import SuffStats
from ._types import Theta


def value_gradient_information(
    theta: Theta, structure: AnyCrossed, stats: SuffStats, reml: bool
) -> Evaluation:
    """Return the criterion, its exact gradient and its average information at a conditioned theta."""

    def value(theta):
        solved = structure.solve(relative_factors(theta, stats.blocks), stats.C)
        profiled = profile_out(solved.reduced.schur)
        return deviance(solved.reduced, profiled, stats, reml), solved

    (criterion, solved), gradient = jax.value_and_grad(value, has_aux=True)(theta)
    factors = relative_factors(theta, stats.blocks)
    information = _information(factors, structure, solved, stats, reml)
    return criterion, gradient, information + _chain_rule(theta, gradient, stats.blocks)


def _information(factors: Factors, structure: AnyCrossed, solved: Any, stats: SuffStats, reml: bool):
    """Return F'PF / sigma^2 less what profiling sigma takes away."""
    profiled = profile_out(solved.reduced.schur)
    dof = stats.n - stats.p if reml else stats.n
    variance = profiled.pwrss / dof
    v = jnp.concatenate([-profiled.gamma, jnp.ones(1, stats.C.dtype)])
    # Z'P y, the score of the random effects
    modes = structure.modes_from(factors, solved, v)
    fitted = structure.times(tuple(b[:, :, None] for b in modes))
    scores = [B @ v - f[:, :, 0] for B, f in zip(structure.responses(), fitted, strict=True)]

    effects, slopes = _working_effects(factors, scores, stats.blocks)
    products = structure.times(effects)
    responses = [B[..., : stats.p] for B in structure.responses()]
    FF = _sum_over_levels(effects, products)
    XF = _sum_over_levels(responses, effects)
    # Eliminate random and fixed effects from [X F] as from [X y].
    B = tuple(jnp.concatenate(pair, axis=2) for pair in zip(responses, products, strict=True))
    C = jnp.block([[stats.C[: stats.p, : stats.p], XF], [XF.T, FF]])
    schur = structure.with_responses(B).schur_of(factors, solved, C)
    across = schur[: stats.p, stats.p :]
    gram = schur[stats.p :, stats.p :] - across.T @ profiled.inverse @ across
    return gram / variance - jnp.outer(slopes, slopes) / (variance**2 * dof)


def _sum_over_levels(left, right):
    pairs = zip(left, right, strict=True)
    return jnp.stack([jnp.einsum("lia,lib->ab", a, b) for a, b in pairs]).sum(0)


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
