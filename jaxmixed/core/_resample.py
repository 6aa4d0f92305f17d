"""Bootstrap responses that lean on the data's own residuals instead of the normal distribution.

Residual bootstrap (Carpenter, Goldstein & Rasbash 2003, doi:10.1111/1467-9876.00415): conditional modes and
residuals are centred and reflated, so that their empirical covariances are the estimated ones, and drawn with
replacement, levels and rows each by themselves,

    y* = X beta + offset + Z b* + e* / sqrt(w).

Wild bootstrap (Modugno & Giannerini 2015, doi:10.1080/03610926.2013.802807): each cluster keeps its marginal
residuals, turned over with probability one half,

    y* = X beta + offset + v_j (y - X beta - offset),     v_j = -1 or 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ._covariance import relative_factors
from ._design import Design
from ._types import Array, Codes, Scalar, Theta

NEGLIGIBLE = 1e-8  # of the largest variance: below, a direction of the random effects does not vary


class Reflated(NamedTuple):
    """What the residual bootstrap draws from.

    Attributes
    ----------
    fixed
        X beta + offset, shape (n,).
    effects
        Reflated modes of each factor, shape (J, q).
    errors
        Reflated residuals, times the square roots of the weights, shape (n,).
    """

    fixed: Float[np.ndarray, " n"]
    effects: tuple[Float[np.ndarray, "J q"], ...]
    errors: Float[np.ndarray, " n"]


def reflate(
    design: Design,
    theta: Theta,
    beta: Float[np.ndarray, " p"],
    sigma: Scalar,
    modes: tuple[Float[np.ndarray, "J q"], ...],
) -> Reflated:
    """Centre modes and residuals, and give them the covariances that were estimated.

    Parameters
    ----------
    design
        The model that was fitted, NumPy.
    theta, beta, sigma
        The estimates.
    modes
        `ranef_modes(theta, suffstats(design))`.
    """
    fixed = _fixed(design, beta)
    residual = design.y - fixed
    factors = relative_factors(theta, tuple(term.blocks for term in design.terms))
    effects = []
    for term, b, L in zip(design.terms, modes, factors, strict=True):
        residual = residual - np.einsum("nq,nq->n", term.z, b[term.codes])
        centred = b - b.mean(axis=0)
        spread = centred.T @ centred / len(b)
        effects.append(centred @ _root(spread, inverse=True) @ _root(sigma**2 * L @ L.T))
    errors = residual if design.weights is None else residual * np.sqrt(design.weights)
    errors = errors - errors.mean()
    return Reflated(fixed, tuple(effects), errors * sigma / np.sqrt((errors**2).mean()))


def resample(key: PRNGKeyArray, reflated: Reflated, design: Design) -> Float[jax.Array, " n"]:
    """Draw a response by the residual bootstrap; it depends on the key alone."""
    errors, n = jnp.asarray(reflated.errors), len(reflated.errors)
    y = errors[jax.random.randint(jax.random.fold_in(key, 0), (n,), 0, n)]
    if design.weights is not None:
        y = y / jnp.sqrt(jnp.asarray(design.weights))
    for t, (term, effects) in enumerate(zip(design.terms, reflated.effects, strict=True)):
        J = len(effects)
        drawn = jnp.asarray(effects)[jax.random.randint(jax.random.fold_in(key, t + 1), (J,), 0, J)]
        y = y + (jnp.asarray(term.z) * drawn[jnp.asarray(term.codes)]).sum(1)
    return jnp.asarray(reflated.fixed) + y


def turn_over(
    key: PRNGKeyArray, design: Design, beta: Float[Array, " p"], cluster: Codes, n_clusters: int
) -> Float[jax.Array, " n"]:
    """Draw a response by the wild bootstrap; it depends on the key alone.

    Parameters
    ----------
    key
        A JAX random key.
    design
        The model that was fitted.
    beta
        Estimates of the fixed effects, shape (p,).
    cluster
        Cluster of each row, codes 0, ..., n_clusters - 1; no random effect may span two of them.
    n_clusters
        Number of clusters.
    """
    fixed = jnp.asarray(_fixed(design, beta))
    signs = jax.random.rademacher(key, (n_clusters,), fixed.dtype)
    return fixed + signs[jnp.asarray(cluster)] * (jnp.asarray(design.y) - fixed)


def _fixed(design: Design, beta):
    fixed = design.X @ beta
    return fixed if design.offset is None else fixed + design.offset


def _root(covariance: Float[np.ndarray, "q q"], inverse: bool = False) -> Float[np.ndarray, "q q"]:
    """Return the symmetric root of a covariance, or of its inverse where it is not zero."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > NEGLIGIBLE * max(values[-1], 0)
    size = np.sqrt(np.where(kept, values, 1.0))
    return (vectors * np.where(kept, 1 / size if inverse else size, 0.0)) @ vectors.T
