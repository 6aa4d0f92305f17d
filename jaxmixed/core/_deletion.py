"""Taking the rows of one level off the cross products of a structure.

Every cross product is a sum over rows. Where levels are merged by pattern, a level is taken off the sums of
its pattern, so that what is left costs what the whole does, however many levels there are.
"""

import abc

from jaxtyping import Float, Int

from ._nested import Nested
from ._node import Node, static
from ._one_factor import OneFactor, Patterns
from ._structure import Structure
from ._types import Array, Scalar, namespace


class Deletion(Node):
    """What the rows of one level add to the statistics; for many levels, every array has a leading axis.

    Attributes
    ----------
    n, log_weights
        Number of rows, and the sum of the logarithms of their weights.
    C
        Their [Q u]'[Q u], shape (c, c).
    """

    n: Scalar
    log_weights: Scalar
    C: Float[Array, "c c"]

    @abc.abstractmethod
    def take_off(self, structure: Structure) -> Structure:
        """Return the structure without these rows."""


class OfPattern(Deletion):
    """A level of one factor, merged with others of its pattern; B is Z_j'W_j[Q u]_j."""

    n: Scalar
    log_weights: Scalar
    C: Float[Array, "c c"]
    pattern: Int[Array, ""]
    B: Float[Array, "q c"]

    def take_off(self, structure: Patterns) -> Patterns:
        products = self.B[:, None, :, None] * self.B[None, :, None, :]
        counts = structure.counts.at[self.pattern].add(-1)
        return Patterns(counts, structure.A, structure.G.at[self.pattern].add(-products))


class OfOneFactor(Deletion):
    """A level of one factor, all of them kept apart."""

    n: Scalar
    log_weights: Scalar
    C: Float[Array, "c c"]
    level: Int[Array, ""]

    def take_off(self, structure: OneFactor) -> OneFactor:
        return OneFactor(structure.A.at[self.level].set(0), structure.B.at[self.level].set(0))


class OfNested(Deletion):
    """A level of one of several nested factors, with all that it contains.

    `slots` holds its slot and those of the levels that contain it, `rows` what its rows add to these, and
    `at` the place of its factor, innermost first.
    """

    n: Scalar
    log_weights: Scalar
    C: Float[Array, "c c"]
    slots: tuple[Int[Array, ""], ...]
    rows: tuple[Float[Array, "q w"], ...]
    at: int = static()

    def take_off(self, structure: Nested) -> Nested:
        xp, rows = namespace(*structure.rows), list(structure.rows)
        inside = xp.arange(len(rows[self.at])) == self.slots[0]
        for level in range(self.at, -1, -1):
            if level < self.at:
                parent = structure.parents[level]
                family = len(rows[level]) // len(rows[level + 1])
                inside = xp.repeat(inside, family) if parent is None else inside[parent]
            rows[level] = xp.where(inside[:, None, None], 0, rows[level])
        for level, slot, products in zip(
            range(self.at + 1, len(rows)), self.slots[1:], self.rows, strict=True
        ):
            rows[level] = rows[level].at[slot].add(-products)
        return Nested(tuple(rows), structure.slots, structure.parents, structure.order)
