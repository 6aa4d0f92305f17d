"""How an eliminated factor e meets the columns of the others: A_eo, dense here or as a list of entries.

Both forms answer the same few questions, so that nothing else needs to know which it is.
"""

import abc

import numpy as np
from jaxtyping import Float, Int

from ._dense import lower_product
from ._node import Node
from ._types import Array, namespace


class Couplings(Node):
    """Cross products of the levels of e with the D columns of the other factors."""

    @property
    @abc.abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """Numbers of entries, common columns and pairs, where these are listed."""

    @abc.abstractmethod
    def extended(
        self, n_levels: int, columns: Int[np.ndarray, " D"], n_columns: int, lengths: tuple[int, ...]
    ) -> "Couplings":
        """Return these couplings among more levels and columns, the old columns being the new `columns`."""

    @abc.abstractmethod
    def fill(self, K: Float[Array, "J q q"]) -> Float[Array, "D D"]:
        """Return the lower triangle of sum_j A_oj K_j A_jo."""

    @abc.abstractmethod
    def to_own(self, b: Float[Array, "D m"]) -> Float[Array, "J q m"]:
        """Return A_eo b."""

    @abc.abstractmethod
    def to_others(self, b: Float[Array, "J q m"]) -> Float[Array, "D m"]:
        """Return A_oe b."""

    @abc.abstractmethod
    def spread(self, joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
        """Return A_jo joint A_oj of each level, for a symmetric matrix."""

    @abc.abstractmethod
    def through(
        self, joint: Float[Array, "D D"], level: Int[Array, " m"], columns: Int[Array, "m v"]
    ) -> Float[Array, "m q v"]:
        """Return (A_eo joint)[level, :, columns], a level and a few columns of o for each row."""


class DenseCouplings(Couplings):
    """A_eo as an array: when most levels of e meet most columns of the others."""

    A: Float[Array, "J q D"]

    @property
    def lengths(self) -> tuple[int, ...]:
        return ()

    def extended(
        self, n_levels: int, columns: Int[np.ndarray, " D"], n_columns: int, lengths: tuple[int, ...]
    ) -> "DenseCouplings":
        A = np.zeros((n_levels, self.A.shape[1], n_columns), self.A.dtype)
        A[: len(self.A), :, columns] = self.A
        return DenseCouplings(A)

    def fill(self, K: Float[Array, "J q q"]) -> Float[Array, "D D"]:
        flat = self.A.reshape(-1, self.A.shape[2])
        return namespace(K, flat).tril(lower_product(flat, (K @ self.A).reshape(flat.shape)))

    def to_own(self, b: Float[Array, "D m"]) -> Float[Array, "J q m"]:
        return self.A @ b

    def to_others(self, b: Float[Array, "J q m"]) -> Float[Array, "D m"]:
        return self.A.reshape(-1, self.A.shape[2]).T @ b.reshape(-1, b.shape[2])

    def spread(self, joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
        return spread(self.A, joint)

    def through(
        self, joint: Float[Array, "D D"], level: Int[Array, " m"], columns: Int[Array, "m v"]
    ) -> Float[Array, "m q v"]:
        return namespace(joint, self.A).swapaxes((self.A @ joint)[level[:, None], :, columns], 1, 2)


def spread(A: Float[Array, "J q D"], joint: Float[Array, "D D"]) -> Float[Array, "J q q"]:
    """Return A_j joint A_j' of each level; one matrix product, where a stack of them is many slow ones."""
    through = (A.reshape(-1, A.shape[2]) @ joint).reshape(A.shape)
    return namespace(A, joint).einsum("jad,jbd->jab", through, A)
