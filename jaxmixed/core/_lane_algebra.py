"""Small matrices of very many levels and fits, side by side.

Small axes stand first and lanes last, levels beside them, so that every operation runs over long rows: small
matrices one after the other, copied and multiplied by a library, take several times as long.
"""

import functools
import itertools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._small import UNROLLED

# What is written out; beyond, it takes long to compile.
MOST_TERMS = 32  # of a sum
MOST_PRODUCTS = 100  # of two rows

Lanes = Float[jax.Array, "*small U L"]  # U levels or patterns (or one axis of length 1) of L fits


def contract(subscripts: str, *arrays: Lanes) -> Lanes:
    """Return `einsum` over small axes, all others running along, written out term by term if these are few.

    `einsum` itself would go to a library, which copies what it reads.
    """
    before, output = subscripts.split("->")
    owns = before.split(",")
    sizes = {
        letter: n
        for own, a in zip(owns, arrays, strict=True)
        for letter, n in zip(own, a.shape, strict=False)
    }
    summed = sorted(sizes.keys() - set(output))

    def term(at: dict[str, int], letters: str = output) -> Lanes:
        """Multiply the arrays, taking an element along some axes and keeping those called by letters."""
        return functools.reduce(
            operator.mul, [_spread(a, own, letters, at) for a, own in zip(arrays, owns, strict=True)]
        )

    if math.prod(sizes[letter] for letter in summed) > MOST_TERMS:
        return term({}, "".join([output, *summed])).sum(tuple(range(len(output), len(sizes))))
    places = itertools.product(*(range(sizes[letter]) for letter in summed))
    terms = [term(dict(zip(summed, place, strict=True))) for place in places]
    if terms:
        return functools.reduce(operator.add, terms)
    along = np.broadcast_shapes(*(a.shape[-2:] for a in arrays))
    return jnp.zeros((*(sizes[letter] for letter in output), *along), arrays[0].dtype)


def _spread(array: Lanes, own: str, letters: str, at: dict[str, int]) -> Lanes:
    """Take an element along the axes that `at` names, and put the others where `letters` has them."""
    array = array[tuple(at.get(letter, slice(None)) for letter in own)]
    left = [letter for letter in own if letter not in at]
    order = sorted(range(len(left)), key=lambda axis: letters.index(left[axis]))
    array = jnp.transpose(array, [*order, len(left), len(left) + 1])
    return jnp.expand_dims(array, [axis for axis, letter in enumerate(letters) if letter not in left])


def sums_of_products(rows: Lanes) -> Lanes:
    """Return the sums over levels of products of any two rows, shape (m, m, 1, L)."""
    m = len(rows)
    first, second = np.triu_indices(m)
    place = np.zeros((m, m), int)
    place[first, second] = place[second, first] = np.arange(len(first))
    if len(first) > MOST_PRODUCTS:
        return jnp.concatenate([over_levels(row * rows[i:]) for i, row in enumerate(rows)])[place]
    products = [rows[i] * rows[k] for i, k in zip(first, second, strict=True)]
    return over_levels(jnp.stack(products))[place]


def over_levels(lanes: Lanes) -> Lanes:
    """Sum over levels, whose axis stays."""
    return lanes.sum(-2, keepdims=True)


def logdet_inverse(matrix: Lanes) -> tuple[Lanes, Lanes]:
    """Return log-determinants (U, L) and inverses of positive-definite matrices (q, q, U, L)."""
    if len(matrix) == 0:
        return jnp.zeros(matrix.shape[2:], matrix.dtype), matrix
    if len(matrix) > UNROLLED:
        return _eliminated_in_place(matrix)
    pivot = matrix[:1, :1]
    row = matrix[:1, 1:] / pivot
    logdet, rest = logdet_inverse(matrix[1:, 1:] - row.swapaxes(0, 1) * matrix[:1, 1:])
    upper = -contract("ab,bc->ac", row, rest)
    corner = 1 / pivot - contract("ab,ab->", upper, row)
    top = jnp.concatenate([corner, upper], axis=1)
    inverse = jnp.concatenate([top, jnp.concatenate([upper.swapaxes(0, 1), rest], axis=1)])
    return logdet + jnp.log(pivot[0, 0]), inverse


def _eliminated_in_place(matrix: Lanes) -> tuple[Lanes, Lanes]:
    """Do as `logdet_inverse` by Gauss-Jordan elimination, one pivot an iteration."""
    rows = jnp.arange(len(matrix))[:, None, None]

    def eliminate(j, carry):
        matrix, logdet = carry
        pivot = matrix[j, j]
        row = jnp.where(rows == j, 1, matrix[j]) / pivot
        others = jnp.where((rows == j)[None], 0, matrix) - matrix[:, j][:, None] * row[None]
        return jnp.where((rows == j)[:, None], row[None], others), logdet + jnp.log(pivot)

    start = matrix, jnp.zeros(matrix.shape[2:], matrix.dtype)
    inverse, logdet = jax.lax.fori_loop(0, len(matrix), eliminate, start)
    return logdet, inverse
