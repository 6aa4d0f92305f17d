"""Where two grouping factors meet: Z_a'W Z_b as a list of blocks, one for each pair of levels that meet.

Products with many columns are what iterative methods spend their time on,

    A_ab x  =  sums over the meetings of each level of a,     A_ba y  =  sums over those of each level of b,

so that the list is kept twice, sorted by either factor. A list of single numbers is a sparse matrix to JAX;
others are read in pieces, so that what is gathered for one fits into a cache. The derivative of one product
is the other, and is stated so.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._node import Node, static
from ._products import meetings
from ._types import Array, namespace

PIECE = 2**16  # meetings that are gathered at a time


class Listed(NamedTuple):
    """Meetings in pieces, sorted by one factor; those that fill up the last piece belong to no level.

    Attributes
    ----------
    to
        Level of the factor they are sorted by, shape (pieces, length).
    of
        Level of the other factor.
    value
        Blocks, the first axis that of the factor they are sorted by, shape (pieces, length, a, b).
    """

    to: Int[Array, "s l"]
    of: Int[Array, "s l"]
    value: Float[Array, "s l a b"]


class Meetings(Node):
    """Cross products of the levels of two factors, in the order of either."""

    by_first: Listed
    by_second: Listed
    n_first: int = static()
    n_second: int = static()

    @classmethod
    def build(cls, first: RandomTerm, second: RandomTerm) -> "Meetings":
        """List the pairs of levels that share a row; codes are concrete."""
        *levels, value = meetings(first, second)
        levels = [level.astype(np.int32) for level in levels]
        by_second = np.argsort(levels[1], kind="stable")
        turned = value[by_second].swapaxes(1, 2)
        return cls(
            _in_pieces(levels[0], levels[1], value, first.n_levels),
            _in_pieces(levels[1][by_second], levels[0][by_second], turned, second.n_levels),
            first.n_levels,
            second.n_levels,
        )

    def to_first(self, x: Float[Array, "J b m"]) -> Float[Array, "I a m"]:
        """Return A_ab x."""
        return _product(self.by_first, self.by_second, x, self.n_first)

    def to_second(self, y: Float[Array, "I a m"]) -> Float[Array, "J b m"]:
        """Return A_ba y."""
        return _product(self.by_second, self.by_first, y, self.n_second)

    def squares_to_second(self, K: Float[Array, "I a a"]) -> Float[Array, "J b b"]:
        """Return sum_i A_ji K_i A_ij of each level j of the second factor."""
        return _squares(self.by_second, K, self.n_second)

    def squares_to_first(self, K: Float[Array, "J b b"]) -> Float[Array, "I a a"]:
        """Return sum_j A_ij K_j A_ji of each level i of the first factor."""
        return _squares(self.by_first, K, self.n_first)


def _in_pieces(to, of, value, n_levels: int) -> Listed:
    length = min(PIECE, max(len(to), 1))
    missing = -len(to) % length
    xp, shape = namespace(value), (-1, length)
    # What fills up the last piece goes to a level that is none, and is dropped from sums.
    to = np.pad(to, (0, missing), constant_values=n_levels).reshape(shape)
    of = np.pad(of, (0, missing)).reshape(shape)
    value = xp.pad(value, ((0, missing), (0, 0), (0, 0)))
    return Listed(to, of, value.reshape(*shape, *value.shape[1:]))


def _product(there: Listed, back: Listed, x, n_levels: int):
    """Sum value x[of] by level; `back` lists the same meetings by the other factor."""
    return product_p.bind(*there, *back, x, n_levels=n_levels)


def _sums(to, of, value, x, n_levels: int):
    def add(total, piece):
        to, of, value = piece
        terms = (value[:, :, :, None] * x[of][:, None, :, :]).sum(2)
        return total.at[to].add(terms, mode="drop", indices_are_sorted=True), None

    start = jnp.zeros((n_levels, value.shape[2], x.shape[2]), x.dtype)
    return jax.lax.scan(add, start, (to, of, value))[0]


def _squares(listed: Listed, K, n_levels: int):
    def add(total, piece):
        to, of, value = piece
        half = (value[:, :, :, None] * K[of][:, None, :, :]).sum(2)
        terms = (half[:, :, None, :] * value[:, None, :, :]).sum(3)
        return total.at[to].add(terms, mode="drop", indices_are_sorted=True), None

    a = listed.value.shape[2]
    start = jnp.zeros((n_levels, a, a), K.dtype)
    return jax.lax.scan(add, start, listed)[0]


# The product as a primitive of its own, because JAX would transpose it into a scatter for every piece, and
# put the columns of a batch first, where they are slow.
product_p = Primitive("meetings_product")


def _plain(to, of, value, back_to, back_of, back_value, x, *, n_levels: int):
    return _sums(to, of, value, x, n_levels)


def _on_cpu(to, of, value, back_to, back_of, back_value, x, *, n_levels: int):
    """Leave single numbers to JAX's sparse product, a kernel of its own on CPUs."""
    if value.shape[2:] != (1, 1) or value.dtype != x.dtype:
        return _sums(to, of, value, x, n_levels)
    from jax.experimental.sparse import BCSR  # a slow import, needed for iterative methods only

    # Those that fill up the last piece come after all levels.
    starts = jnp.searchsorted(to.reshape(-1), jnp.arange(n_levels + 1, dtype=to.dtype)).astype(of.dtype)
    matrix = BCSR((value.reshape(-1), of.reshape(-1), starts), shape=(n_levels, len(x)))
    return (matrix @ x[:, 0])[:, None]


product_p.def_impl(jax.jit(product_p.bind, static_argnames="n_levels"))
mlir.register_lowering(product_p, mlir.lower_fun(_plain, multiple_results=False))
mlir.register_lowering(product_p, mlir.lower_fun(_on_cpu, multiple_results=False), platform="cpu")


@product_p.def_abstract_eval
def _(to, of, value, back_to, back_of, back_value, x, *, n_levels):
    return ShapedArray((n_levels, value.shape[2], x.shape[2]), x.dtype)


def _by_value(d_value, to, of, value, back_to, back_of, back_value, x, *, n_levels):
    return _sums(to, of, d_value, x, n_levels)


def _by_columns(dx, *operands, n_levels):
    return product_p.bind(*operands[:-1], dx, n_levels=n_levels)


def _transpose(cotangent, to, of, value, back_to, back_of, back_value, x, *, n_levels):
    if isinstance(cotangent, ad.Zero):
        return [None] * 6 + [ad.Zero(x.aval)]
    lists = back_to, back_of, back_value, to, of, value
    return [None] * 6 + [product_p.bind(*lists, cotangent, n_levels=x.aval.shape[0])]


def _batch(arguments, axes, *, n_levels):
    *lists, x = arguments
    if all(axis is None for axis in axes[:-1]):
        x = jnp.moveaxis(x, axes[-1], 3)
        out = product_p.bind(*lists, x.reshape(*x.shape[:2], -1), n_levels=n_levels)
        return out.reshape(*out.shape[:2], *x.shape[2:]), 3
    batched = [i for i, axis in enumerate(axes) if axis is not None]

    def one(members):
        inside = dict(zip(batched, members, strict=True))
        return product_p.bind(*(inside.get(i, a) for i, a in enumerate(arguments)), n_levels=n_levels)

    return jax.lax.map(one, [jnp.moveaxis(arguments[i], axes[i], 0) for i in batched]), 0


ad.defjvp(product_p, None, None, _by_value, None, None, None, _by_columns)
ad.primitive_transposes[product_p] = _transpose
batching.primitive_batchers[product_p] = _batch
