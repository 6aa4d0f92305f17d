"""theta -> Lambda: the relative covariance factor of one grouping factor.

The random effects of one level have covariance sigma^2 Lambda Lambda'. Lambda is q x q, block
diagonal with lower-triangular blocks; theta lists the lower triangle of each block column by
column, as lme4 does, so theta is relative to sigma.
"""

import functools
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from ._types import Array, Theta, namespace, pad

Blocks = tuple[int, ...]


def n_theta(blocks: Blocks) -> int:
    """Return the number of elements of theta: b (b + 1) / 2 for each block of size b."""
    return sum(b * (b + 1) // 2 for b in blocks)


@functools.cache
def positions(blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of Lambda that each element of theta fills."""
    rows, columns, first = [], [], 0
    for b in blocks:
        column, row = np.triu_indices(b)
        rows.append(row + first)
        columns.append(column + first)
        first += b
    empty = [np.zeros(0, int)]
    # 32 bits, the only integers that JAX indexes with in either precision
    return np.concatenate(rows or empty).astype(np.int32), np.concatenate(columns or empty).astype(np.int32)


@functools.cache
def basis(blocks: Blocks, dtype: Any = float) -> np.ndarray:
    """Return d Lambda / d theta, shape (k, q, q), of zeros and ones."""
    rows, columns = positions(blocks)
    basis = np.zeros((len(rows), sum(blocks), sum(blocks)), dtype)
    basis[np.arange(len(rows)), rows, columns] = 1
    return basis


def relative_factor(theta: Theta, blocks: Blocks) -> Float[Array, "q q"]:
    """Return Lambda(theta), linear in theta."""
    q = sum(blocks)
    return (theta @ basis(blocks, theta.dtype).reshape(-1, q * q)).reshape(q, q)


def pack(factor: Float[Array, "q q"], blocks: Blocks) -> Theta:
    """Return theta, the inverse of `relative_factor`."""
    return factor[positions(blocks)]


@functools.cache
def symmetric_basis(blocks: Blocks, dtype: Any = float) -> np.ndarray:
    """Return d Psi / d psi, shape (k, q, q): psi lists the lower triangles of Psi as theta lists Lambda's."""
    half = basis(blocks, dtype)
    return np.maximum(half, half.swapaxes(1, 2))


def split(theta: Theta, blocks: tuple[Blocks, ...]) -> list[Theta]:
    """Cut theta into one piece for each grouping factor."""
    return [theta[first:end] for first, end in ranges(blocks)]


@functools.cache
def ranges(blocks: tuple[Blocks, ...]) -> tuple[tuple[int, int], ...]:
    """Return where the piece of theta of each grouping factor begins and ends."""
    return tuple(pairwise(accumulate(map(n_theta, blocks), initial=0)))


def relative_factors(theta: Theta, blocks: tuple[Blocks, ...]) -> list[Float[Array, "q q"]]:
    """Return Lambda of each grouping factor."""
    return [relative_factor(piece, b) for piece, b in zip(split(theta, blocks), blocks, strict=True)]


def pack_all(factors: list[Float[Array, "q q"]], blocks: tuple[Blocks, ...]) -> Theta:
    """Return theta, the inverse of `relative_factors`."""
    return namespace(*factors).concatenate([pack(f, b) for f, b in zip(factors, blocks, strict=True)])


def covariances(theta: Theta, blocks: tuple[Blocks, ...]) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Return psi, the elements of every Psi listed as theta lists those of Lambda, and d psi / d theta."""
    jacobian = covariance_curves(blocks, theta.dtype) @ theta
    return jacobian @ theta / 2, jacobian


@functools.lru_cache(maxsize=64)
def covariance_curves(blocks: tuple[Blocks, ...], dtype: Any = float) -> np.ndarray:
    """Return d^2 psi_i / d theta_a d theta_b, shape (k, k, k): psi is quadratic in theta."""
    curves = []
    for b, (start, end) in zip(blocks, ranges(blocks), strict=True):
        E, (row, column), beside = basis(b, dtype), positions(b), (start, sum(map(n_theta, blocks)) - end)
        products = E[:, None] @ E.swapaxes(1, 2)
        inside = (products + products.swapaxes(2, 3))[:, :, row, column]
        curves.append(pad(np.moveaxis(inside, 2, 0), ((0, 0), beside, beside)))
    return np.concatenate(curves)


@functools.cache
def is_diagonal(blocks: tuple[Blocks, ...]) -> np.ndarray:
    """Tell which elements of theta lie on the diagonal of Lambda."""
    return np.concatenate([np.equal(*positions(b)) for b in blocks])


def rectify(theta: Theta, blocks: tuple[Blocks, ...]) -> Theta:
    """Flip the signs of columns of Lambda so that its diagonal is not negative.

    Lambda Lambda' and the criterion do not change.
    """

    def flip(factor):
        xp = namespace(factor)
        return factor * xp.where(xp.diagonal(factor) < 0, -1.0, 1.0).astype(factor.dtype)

    return pack_all([flip(f) for f in relative_factors(theta, blocks)], blocks)
