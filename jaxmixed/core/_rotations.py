"""Steps in all entries of Lambda, of which only Lambda Lambda' matters.

The triangle of Lambda is a frame of reference, and a bad one where an early row is short: to bring a short
and a long row into line, the triangle turns the long one the whole way, along a narrow, curved valley. A
search that may change the entries above the diagonal too turns the short one, in a step or two. So the
criterion is differentiated in all entries of each block, and every new point is rotated back,

    Lambda + S = L Q,     L lower triangular, Q orthogonal,     L L' = (Lambda + S)(Lambda + S)'.

Along Lambda Omega, Omega skew, nothing changes; there the Hessian is made steep, so that no step goes that
way (Absil, Mahony & Sepulchre 2008, Optimization Algorithms on Matrix Manifolds, section 3.5).

Moves list the entries of the triangle first, as theta does, then those above the diagonal.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._covariance import Blocks, basis, n_theta, relative_factors, split
from ._descent import along, beside, choose, diagonal
from ._newton import Moves


def moves(blocks: tuple[Blocks, ...]) -> Moves:
    """Return how a search for theta moves; straight on where every block has one column."""
    single = tuple(b for term in blocks for b in term)

    def retract(theta: Float[jax.Array, "k *lanes"], step: Float[jax.Array, "m *lanes"]):
        if len(step) == len(theta):
            return theta + step
        lower, upper = step[: len(theta)], step[len(theta) :]
        pieces, first = [], 0
        for piece, b in zip(split(theta + lower, tuple((b,) for b in single)), single, strict=True):
            size = b * (b - 1) // 2
            pieces.append(_turned(piece, upper[first : first + size], b))
            first += size
        return jnp.concatenate(pieces)

    def steepen(theta: Float[jax.Array, "k *lanes"], hessian: Float[jax.Array, "m m *lanes"]):
        if len(hessian) == len(theta):
            return hessian
        turns = _rotations(theta, single)
        steepness = jnp.abs(diagonal(hessian)).max(0)
        return hessian + beside(steepness, hessian) * (turns[:, :, None] * turns[:, None]).sum(0)

    return Moves(n_moves(blocks), retract, steepen)


def n_moves(blocks: tuple[Blocks, ...]) -> int:
    """Return the number of entries of all blocks."""
    return sum(b * b for term in blocks for b in term)


def moved_factors(moves: Float[jax.Array, " m"], blocks: tuple[Blocks, ...]) -> list[Float[jax.Array, "q q"]]:
    """Return Lambda of each grouping factor, given all entries of its blocks."""
    k = sum(map(n_theta, blocks))
    if len(moves) == k:
        return relative_factors(moves, blocks)
    factors, first = [], k
    for L, term in zip(relative_factors(moves[:k], blocks), blocks, strict=True):
        above = _basis_above(term)
        upper = moves[first : first + len(above)]
        factors.append(L + jnp.tensordot(upper, above.astype(L.dtype), 1))
        first += len(above)
    return factors


@functools.cache
def _basis_above(blocks: Blocks) -> np.ndarray:
    """Return d Lambda / d entries above the diagonal of each block, shape (m - k, q, q)."""
    half = basis(blocks).swapaxes(1, 2)
    return half[[i for i, e in enumerate(half) if not np.diagonal(e).any()]]


def _rotations(theta: Float[jax.Array, "k *lanes"], blocks: Blocks) -> Float[jax.Array, "r m *lanes"]:
    """Return the moves Lambda Omega, one for each pair of columns of a block, of length one."""
    above = _basis_above(blocks)
    skew = _constant(above - above.swapaxes(1, 2), theta)
    entries = _constant(np.concatenate([basis(blocks), above]), theta)
    turned = (_weighted(theta, basis(blocks))[None, :, :, None] * skew[:, None]).sum(2)
    moved = (turned[:, None] * entries[None]).sum((2, 3))
    squares = (moved**2).sum(1, keepdims=True)
    return jnp.where(squares > 0, moved * jax.lax.rsqrt(jnp.where(squares > 0, squares, 1)), 0)


def _constant(matrices: np.ndarray, like: jax.Array) -> np.ndarray:
    return along(matrices.astype(like.dtype), like)


def _weighted(weights: Float[jax.Array, "k *lanes"], matrices: np.ndarray) -> Float[jax.Array, "q q *lanes"]:
    """Return a sum of matrices. A library's product would bring the lanes to the front."""
    return (weights[:, None, None] * _constant(matrices, weights)).sum(0)


def _turned(
    lower: Float[jax.Array, "l *lanes"], upper: Float[jax.Array, "u *lanes"], b: int
) -> Float[jax.Array, "l *lanes"]:
    """Return the triangle L of one block from all its entries, by Gram and Schmidt's process on its rows."""
    if b == 1:
        return lower
    rows = _weighted(lower, basis((b,))) + _weighted(upper, _basis_above((b,)))
    axes: list[jax.Array] = []
    triangle = []
    for row in rows:
        entries = []
        for axis in axes:
            entries.append((row * axis).sum(0))
            row = row - entries[-1][None] * axis
        length = jnp.sqrt((row**2).sum(0))
        triangle.append([*entries, length])
        axes.append(choose(length > 0, row / jnp.where(length > 0, length, 1)[None], _some_axis(axes, row)))
    return jnp.stack([triangle[i][j] for j in range(b) for i in range(j, b)])


def _some_axis(axes: list[jax.Array], like: Float[jax.Array, "b *lanes"]) -> Float[jax.Array, "b *lanes"]:
    """Return a direction orthogonal to others: what they leave of the unit vector they leave most of."""
    b = len(like)
    if not axes:
        return jnp.zeros_like(like).at[0].set(1)
    left = jnp.broadcast_to(_constant(np.eye(b), like), (b, *like.shape))
    for axis in axes:
        left = left - (left * axis[None]).sum(1)[:, None] * axis[None]
    squares = (left**2).sum(1)
    most = (along(np.arange(b), like) == jnp.argmax(squares, axis=0)[None])[:, None]
    tiny = jnp.finfo(like.dtype).tiny
    return jnp.where(most, left, 0).sum(0) * jax.lax.rsqrt(jnp.maximum(squares.max(0), tiny))[None]
