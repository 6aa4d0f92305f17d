"""Derivatives of log|V| and X'V^-1X in the variances, against dense algebra that shares no rule with ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    STRUCTURES,
    lower_factors,
    lower_positions,
    random_design,
    random_theta,
    with_slow_ones_marked,
)

from jaxmixed import core
from jaxmixed.core._curvature import curvature, information
from jaxmixed.core._nested import Nested, NestedPatterns
from jaxmixed.core._observed import observed
from jaxmixed.core._suffstats import conditioned


def dense_information(design, theta, reml):
    """Return V, its derivatives in psi, and the matrices of `Information` by traces of n x n products."""
    n, p = design.X.shape
    w = np.ones(n) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    V, slopes = np.diag(1 / w), []
    for term, L in zip(design.terms, lower_factors(design, theta), strict=True):
        Z = np.zeros((n, term.n_levels, term.z.shape[1]))
        Z[np.arange(n), term.codes] = term.z
        for row, column in zip(*lower_positions(term.blocks), strict=True):
            E = np.zeros_like(L)
            E[row, column] = E[column, row] = 1
            slopes.append(np.einsum("nja,ab,mjb->nm", Z, E, Z))
        V = V + np.einsum("nja,ab,mjb->nm", Z, L @ L.T, Z)
    slopes.append(np.diag(1 / w))
    inverse = np.linalg.inv(V)
    M = np.linalg.inv(design.X.T @ inverse @ design.X)
    P = inverse - inverse @ design.X @ M @ design.X.T @ inverse
    dof = n - p if reml else n
    y = y / np.sqrt(y @ P @ y / dof)
    PV, VV = [P @ S for S in slopes], [inverse @ S for S in slopes]
    projected = PV if reml else VV
    gradient = np.array([np.trace(A) - y @ B @ P @ y for A, B in zip(projected, PV, strict=True)])
    observed = np.array(
        [
            [-np.trace(A @ B) + 2 * y @ C @ D @ P @ y for B, D in zip(projected, PV, strict=True)]
            for A, C in zip(projected, PV, strict=True)
        ]
    )
    expected = np.array([[np.trace(A @ B) for B in PV] for A in PV])
    P_i = np.array([-design.X.T @ A @ inverse @ design.X for A in VV])
    Q_ij = np.array([[design.X.T @ A @ B @ inverse @ design.X for B in VV] for A in VV])
    return M, P_i, Q_ij + Q_ij.swapaxes(0, 1), gradient, observed, expected


def conditioned_design(design, stats):
    terms = tuple(
        core.RandomTerm(term.z @ np.linalg.inv(T), term.codes, term.n_levels, term.blocks)
        for term, T in zip(design.terms, stats.T, strict=True)
    )
    return core.Design(design.y, design.X, terms, design.weights, design.offset)


def by_theta(design, theta):
    """Return the first and second derivatives in (theta, sigma), at sigma = 1, of psi = sigma^2 (Psi, 1)."""

    def psi(eta):
        pieces, used = [], 0
        for term in design.terms:
            place = lower_positions(term.blocks)
            own = eta[used : used + len(place[0])]
            L = jnp.zeros((term.z.shape[1],) * 2).at[place].set(own)
            pieces.append((L @ L.T)[place])
            used += len(own)
        return eta[-1] ** 2 * jnp.concatenate([*pieces, jnp.ones(1)])

    eta = jnp.append(theta, 1.0)
    return np.asarray(jax.jacfwd(psi)(eta)), np.asarray(jax.hessian(psi)(eta))


def assert_matches(design, theta, stats, curved, reml):
    design, at, R = conditioned_design(design, stats), conditioned(theta, stats), stats.R
    M, d_XVX, dd_XVX, gradient, hessian, expected = dense_information(design, at, reml)
    jacobian, curves = by_theta(design, at)
    of_theta, of_psi = observed(theta, curved, stats, reml), information(theta, curved, stats)
    inverse = np.linalg.inv(R)

    def back(matrix):
        return R.T @ matrix @ R

    for ours, theirs in [
        (inverse @ of_psi.inverse @ inverse.T, M),
        (back(of_psi.d_XVX), d_XVX),
        (back(of_psi.dd_XVX), dd_XVX),
        (of_psi.expected, expected),
        (inverse @ of_theta.inverse @ inverse.T, M),
        (inverse @ of_theta.slopes @ inverse.T, -np.einsum("ia,ibc->abc", jacobian, M @ d_XVX @ M)),
        (of_theta.hessian, jacobian.T @ hessian @ jacobian + np.einsum("i,iab->ab", gradient, curves)),
    ]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9 * np.abs(theirs).max())


@pytest.mark.parametrize("structure", with_slow_ones_marked(STRUCTURES))
def test_every_structure(structure, x64):
    """At an interior theta, and where the first factor's variances are zero."""
    design = random_design(structure, 3, weights=True, offset=True)
    theta = random_theta(design, 3)
    on_boundary = theta.copy()
    on_boundary[0] = 0
    for stats in (core.suffstats(design), core.compress(design)):
        compiled = isinstance(stats.structure, Nested | NestedPatterns)
        program = jax.jit(curvature) if compiled else curvature
        for at in (theta, on_boundary):
            curved = jax.tree.map(np.asarray, program(at, stats))
            for reml in (True, False):
                assert_matches(design, at, stats, curved, reml)
