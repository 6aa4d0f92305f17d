"""theta of many fits side by side, from the coordinates of the search to those that users know.

Lanes are the last axis. Lambda = T^-1 Lambda~, row after row, and the signs of its columns such that the
diagonal is not negative.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ._covariance import Blocks, basis, n_theta, positions
from ._descent import UNROLLED, choose, diagonal


def unconditioned_lanes(
    x: Float[jax.Array, "k L"], T: tuple[jax.Array, ...], blocks: tuple[Blocks, ...]
) -> Float[jax.Array, "k L"]:
    """Undo `conditioned`, then `rectify`; T has lanes, or is one for all."""
    pieces, first = [], 0
    for own, b in zip(T, blocks, strict=True):
        size = n_theta(b)
        entries = jnp.asarray(basis(b), x.dtype)[..., None]
        factor = (x[first : first + size, None, None] * entries).sum(0)
        factor = _solve_lower(own if own.ndim == factor.ndim else own[..., None], factor)
        factor = choose(diagonal(factor) < 0, -factor, factor)
        row, column = positions(b)
        pieces.append(jnp.stack([factor[i, j] for i, j in zip(row, column, strict=True)]))
        first += size
    return jnp.concatenate(pieces)


def _solve_lower(T: Float[jax.Array, "q q L"], b: Float[jax.Array, "q q L"]) -> Float[jax.Array, "q q L"]:
    """Solve T x = b, one row after the other; a library would take its lanes one by one."""
    q = len(T)
    rows = jnp.arange(q)[:, None, None]

    def solve(j, x):
        row = x[j] / T[j, j]
        return jnp.where(rows == j, row[None], jnp.where(rows > j, x - T[:, j][:, None] * row[None], x))

    if q > UNROLLED:
        return jax.lax.fori_loop(0, q, solve, b)
    for j in range(q):
        b = solve(j, b)
    return b
