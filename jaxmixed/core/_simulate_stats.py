"""Drawing sufficient statistics from a model without drawing rows, nor levels that share a pattern.

In the orthonormal coordinates tau of the span of Z (`_whitened`), relative to sigma, let D_r be a root of
D = Q'(I - P_Z)Q, what of Q lies outside that span, and rho the standard normal coordinates there. Then

    h = Q'(Zb + e) = X'tau + D_r'rho,      gamma_ols = R beta + sigma h,
    Z'(y* - Q gamma_ols):   coordinates tau - X h,
    |y* - Q gamma_ols|^2 = sigma^2 (|tau - X h|^2 + |rho - D_r h|^2 + chi^2(n - rank[Z Q])),

sums of squares throughout, so that nothing cancels. beta and sigma move gamma_ols and the scale;
u = (y* - Q gamma_ols) / scale depends on neither.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array as JaxArray, Float, PRNGKeyArray

from ._chi_square import chi_square
from ._nested import Nested, NestedPatterns
from ._node import Node
from ._one_factor import OneFactor, Patterns
from ._random import normals, uniforms
from ._strata import Strata
from ._structure import Factors, Structure
from ._suffstats import SuffStats, conditioned_factors
from ._types import Scalar, Theta
from ._whitened import Coordinates, Part, kept, whiten
from ._whitened_chain import Chain
from ._whitened_families import Families, families_of, family_parts, family_rows
from ._whitened_merged import Merged


class Sampler(Node):
    """A model from which sufficient statistics are drawn: all that replicates have in common.

    Attributes
    ----------
    stats
        Statistics that lend their shape and all that does not depend on the response.
    parts
        The random effects in orthonormal coordinates: levels one by one, and levels that share a pattern.
    families
        For `NestedPatterns`, which outermost levels belong to each part; else `None`.
    gamma, sigma
        R beta, shape (p,), and the residual standard deviation, in units of y.
    outside
        Root D_r of what of Q lies outside the span of Z, shape (p, p).
    dof
        n - rank[Z Q].
    """

    stats: SuffStats
    parts: tuple[Part, ...]
    families: Families | None
    gamma: Float[JaxArray, " p"]
    sigma: Scalar
    outside: Float[JaxArray, "p p"]
    dof: Scalar


def simulate_stats(
    key: PRNGKeyArray, theta: Theta, beta: Float[JaxArray, " p"], sigma: Scalar, stats: SuffStats
) -> SuffStats:
    """Draw the sufficient statistics of a new response, with new random effects and residuals.

    Equal in distribution to the statistics of y* = X beta + offset + Z b + e, at a cost that depends
    neither on the number of rows nor, for each pattern, on the number of levels. For many replicates of
    one model make the `sampler` once.

    Parameters
    ----------
    key
        A JAX random key; the draw depends on it alone.
    theta
        Relative covariance parameters, relative to sigma, shape (k,).
    beta
        Fixed effects, in units of y per unit of X, shape (p,).
    sigma
        Residual standard deviation of a row of weight one, in units of y.
    stats
        The design: `compress(design)` or `suffstats(design)`. What it holds of a response is not used.

    Returns
    -------
    SuffStats
        Of the structure, shapes and dtype of `stats`.

    Raises
    ------
    ValueError
        For crossed factors; and for compressed nested factors that are an argument of a jitted function.

    References
    ----------
    Bartlett (1933), doi:10.1017/S0370164600021751.
    Odell & Feiveson (1966), doi:10.1080/01621459.1966.10502018.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from jaxmixed import core
    >>> from jaxmixed.core._simulate_stats import simulate_stats
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.arange(12.0) % 5, np.ones((12, 1))
    >>> stats = core.compress(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> simulate_stats(jax.random.key(0), np.array([0.5]), np.array([10.0]), 1.0, stats).C.shape
    (2, 2)
    """
    return draw(key, sampler(theta, beta, sigma, stats))


def sampler(
    theta: Theta,
    beta: Float[JaxArray, " p"],
    sigma: Scalar,
    stats: SuffStats,
    families: Families | None = None,
) -> Sampler:
    """Prepare to draw from a model: all factorisations are made here.

    Parameters
    ----------
    theta, beta, sigma, stats
        As in `simulate_stats`.
    families
        `families_of(stats.structure, stats.p)`, needed where compressed nested statistics are traced.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from jaxmixed import core
    >>> from jaxmixed.core._simulate_stats import draw, sampler
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.arange(12.0) % 5, np.ones((12, 1))
    >>> stats = core.compress(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> model = sampler(np.array([0.5]), np.array([10.0]), 1.0, stats)
    >>> keys = jax.random.split(jax.random.key(0), 100)
    >>> jax.vmap(lambda key: core.fit(draw(key, model)).theta)(keys).shape
    (100, 1)
    """
    structure = stats.structure
    if families is None and isinstance(structure, NestedPatterns):
        families = families_of(structure, stats.p)
    stats = jax.tree.map(jnp.asarray, stats)
    dtype, p = stats.C.dtype, stats.p
    factors = conditioned_factors(jnp.asarray(theta, dtype), stats)
    parts = _parts(stats.structure, factors, families, p)
    rank = sum((part.rank for part in parts[1:]), parts[0].rank)
    D = jnp.eye(p, dtype=dtype) - sum((part.gram() for part in parts[1:]), parts[0].gram())
    outside, _ = whiten(D, size=jnp.ones((), dtype), most=stats.n - rank)
    gamma = stats.R @ jnp.asarray(beta, dtype)
    dof = jnp.maximum(stats.n - rank - kept(outside).sum(), 0)
    return Sampler(stats, parts, families, gamma, jnp.asarray(sigma, dtype), outside, dof)


def draw(key: PRNGKeyArray, sampler: Sampler) -> SuffStats:
    """Draw sufficient statistics from a prepared model; vmap it over keys."""
    n, df = n_normals(sampler), degrees(sampler)
    u = uniforms(key, n + 2 * len(df), df.dtype)
    z = normals(u[: n + len(df)])
    return from_draws(sampler, z[:n], chi_square(key, df, n, (z[n:], u[n + len(df) :])))


def n_normals(sampler: Sampler) -> int:
    """Return the number of normal draws that a replicate takes."""
    return sum(part.n_normals for part in sampler.parts) + len(sampler.gamma)


def degrees(sampler: Sampler) -> Float[JaxArray, " m"]:
    """Return the degrees of freedom of the chi-square draws that a replicate takes."""
    return jnp.concatenate([*(part.degrees for part in sampler.parts), sampler.dof[None]])


def from_draws(sampler: Sampler, normals: Float[JaxArray, " l"], chi2: Float[JaxArray, " m"]) -> SuffStats:
    """Turn standard normal and chi-square draws into sufficient statistics."""
    chi, tau = jnp.sqrt(chi2), []
    for part in sampler.parts:
        tau.append(part.draw(normals[: part.n_normals], chi[: len(part.degrees)]))
        normals, chi = normals[part.n_normals :], chi[len(part.degrees) :]
    rho = normals * kept(sampler.outside)
    h = sampler.outside.T @ rho
    for part, t in zip(sampler.parts, tau, strict=True):
        h = h + part.onto_fixed(t)
    tau = [part.without_fixed(t, h) for part, t in zip(sampler.parts, tau, strict=True)]
    squares = chi2[-1] + ((rho - sampler.outside @ h) ** 2).sum()
    squares = squares + sum((t**2).sum() for part in tau for t in part)
    return _with_response(sampler, h, tau, squares)


def _with_response(sampler: Sampler, h, tau: list[Coordinates], squares: Scalar) -> SuffStats:
    """Put a response into the statistics, given what it projects to, relative to sigma."""
    stats, p = sampler.stats, sampler.stats.p
    mean_square = squares / stats.n
    root = jnp.where(mean_square > 0, jnp.sqrt(jnp.where(mean_square > 0, mean_square, 1)), 1)
    tau = [tuple(t / root for t in part) for part in tau]
    C = jnp.zeros_like(stats.C).at[:p, :p].set(stats.C[:p, :p]).at[p, p].set(squares / root**2)
    return eqx.tree_at(
        lambda s: (s.structure, s.C, s.gamma_ols, s.scale),
        stats,
        (_structure(sampler, tau), C, sampler.gamma + sampler.sigma * h, sampler.sigma * root),
    )


def _parts(structure: Structure, factors: Factors, families, p: int) -> tuple[Part, ...]:
    """Bring the random effects into orthonormal coordinates."""
    if isinstance(structure, OneFactor):
        rows = jnp.concatenate([structure.A, structure.B[:, :, :-1]], axis=2)
        return (Chain.build((rows,), (), factors),)
    if isinstance(structure, Patterns):
        fixed = structure.G[..., :-1, :-1]
        return (Merged.build(structure.counts, structure.A, fixed, factors[0] @ factors[0].T),)
    if isinstance(structure, Strata):
        # Every dimension of a stratum is a level with one row, of a variance that differs from 1 by Psi.
        there, fixed = (structure.degrees > 0).astype(structure.G.dtype), structure.G[:, :-1, :-1]
        Psi = structure.variances(factors) - 1
        each = there[:, None, None], fixed[:, None, None], Psi[:, None, None]
        return (Merged.build(structure.degrees, *each),)
    if isinstance(structure, Nested):
        factors = [factors[t] for t in structure.order]
        return (Chain.build([row[:, :, :-1] for row in structure.rows], structure.parents, factors),)
    if isinstance(structure, NestedPatterns):
        return family_parts(structure, families, [factors[t] for t in structure.order], p)
    raise ValueError(
        f"The statistics of {type(structure).__name__.lower()} factors cannot be drawn directly; "
        "draw rows with simulate and take their statistics."
    )


def _structure(sampler: Sampler, tau: list[Coordinates]) -> Structure:
    """Return the cross products with a response that has coordinates tau."""
    structure, part = sampler.stats.structure, sampler.parts[0]
    if isinstance(part, Merged) and isinstance(structure, Patterns | Strata):
        fixed, y = part.products_fixed(), part.products(tau[0])
        B = jnp.concatenate([fixed, y[..., None]], axis=3)
        cross = jnp.einsum("ukic,ukj->uijc", B, y)
        if isinstance(structure, Strata):
            cross = cross[:, 0, 0]
            G = structure.G.at[..., -1].set(cross).at[..., -1, :].set(cross)
        else:
            G = structure.G.at[..., -1].set(cross).at[..., -1, :].set(cross.swapaxes(1, 2))
        return eqx.tree_at(lambda s: s.G, structure, G)
    if isinstance(part, Chain) and isinstance(structure, OneFactor):
        return eqx.tree_at(lambda s: s.B, structure, structure.B.at[:, :, -1].set(part.products(tau[0])[0]))
    if isinstance(part, Chain) and isinstance(structure, Nested):
        products = part.products(tau[0])
        rows = tuple(r.at[:, :, -1].set(b) for r, b in zip(structure.rows, products, strict=True))
        return eqx.tree_at(lambda s: s.rows, structure, rows)
    assert isinstance(structure, NestedPatterns) and sampler.families is not None
    rows = family_rows(structure, sampler.families, sampler.parts, tau)
    return eqx.tree_at(lambda s: s.rows, structure, rows)
