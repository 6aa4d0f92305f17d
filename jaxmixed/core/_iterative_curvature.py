"""Derivatives of log|V| and X'V^-1X in the variances of crossed random effects, by iterative methods.

As for the dense Schur complement, with F_ts = Z_t'V^-1Z_s and R_t = Z_t'V^-1[X y],

    d S = -R_t'E_i R_t,      d^2 S = R_t'E_i F_ts E_j R_s + transpose

exactly, F being applied to a few columns by solving for them; and the traces by independent signs z_t on
the levels of one term at a time,

    d log|V| = E z_t'F_tt E_i z_t,      d^2 log|V| = -E (F_st z_t)'E_j (F_st E_i z_t).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Float

from ._host import on_host
from ._krylov import Columns, solve
from ._probes import signs
from ._scaled_schur import ScaledSchur
from ._schur_derivatives import derivatives_of_schur, places
from ._structure import Curvature, Directions, Factors
from ._types import Array

if TYPE_CHECKING:
    from ._iterative import IterativeCrossed


@on_host
def iterative_curvature(
    structure: IterativeCrossed, factors: Factors, directions: Directions, C: Float[Array, "c c"]
) -> Curvature:
    """Return `Structure.curvature`, the traces with a Monte Carlo error."""
    solved = structure.solve(factors, C)

    def through(b: Columns) -> Columns:
        return scores_of(structure, solved.B, structure.times(b))

    scores = scores_of(structure, solved.B, structure.responses())
    d_schur, dd_schur = derivatives_of_schur(scores, directions, through)
    first, second = _traces(structure, through, directions)
    reduced = solved.reduced
    return Curvature(reduced.logdet, reduced.schur, first, d_schur, -(second + second.T) / 2, dd_schur)


def scores_of(structure: IterativeCrossed, B: ScaledSchur, products: Columns) -> Columns:
    """Return Z_t'V^-1 v of each term, given Z_t'W v, shapes (J, q, m)."""
    own, others = products[structure.order[0]], tuple(products[t] for t in structure.order[1:])
    x, _ = solve(B, B.onto(own, others))
    b = B.effects(x)
    left = own - structure.crossings.to_own(b)
    scored = left - structure.crossings.A @ (B.K @ left)
    pairs = zip(B.without_own(own, others), B.schur_times(b), strict=True)
    return structure.by_term(scored, [y - moved for y, moved in pairs])


def _traces(structure: IterativeCrossed, through: Callable[[Columns], Columns], directions: Directions):
    """Return tr(F_tt E_i), and tr(F_st E_i F_ts E_j) as estimated from signs on the levels of E_i's term."""
    inside, B = places(directions), structure.responses()
    sizes = tuple(b.shape[:2] for b in B)
    z = signs(sizes, structure.n_probes, structure.seed + 1, B[0].dtype)
    k, m = sum(map(len, inside.values())), structure.n_probes
    first, second = jnp.zeros(k, B[0].dtype), jnp.zeros((k, k), B[0].dtype)
    for t, E in enumerate(directions):
        scalar = len(E) == 1 and E.shape[1] == 1
        tried = z[t][None] if scalar else jnp.concatenate([z[t][None], E[:, None] @ z[t]])
        flat = jnp.moveaxis(tried, 0, 2).reshape(*sizes[t], -1)
        alone = tuple(
            flat if s == t else jnp.zeros((*size, flat.shape[2]), flat.dtype) for s, size in enumerate(sizes)
        )
        F = [part.reshape(*part.shape[:2], -1, m) for part in through(alone)]
        moved = [E[0, 0, 0] * part if scalar else part[:, :, 1:] for part in F]
        first = first.at[inside[t]].set(jnp.einsum("jam,jaim->i", z[t], moved[t]) / m)
        for s, E_s in enumerate(directions):
            turned = jnp.einsum("jam,kab->jbkm", F[s][:, :, 0], E_s)
            block = jnp.einsum("jbim,jbkm->ik", moved[s], turned) / m
            second = second.at[inside[t][:, None], inside[s]].set(block)
    return first, second
