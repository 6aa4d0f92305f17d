"""What every arrangement of grouping factors must answer, so that all else is written once.

Eliminating the random effects from the weighted cross products of [Z X y] leaves

    logdet = log|I + Lambda'Z'WZLambda|
    S      = [X y]'V^-1[X y],     V = W^-1 + Z Lambda Lambda' Z'

and these two are all that the criterion, beta, sigma and their covariance need.
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._between import Between
from ._elimination import Shifted
from ._node import Node
from ._types import Array, Scalar

Factors = list[Float[Array, "q q"]]
Directions = list[Float[Array, "k q q"]]


class Reduced(NamedTuple):
    """What is left when the random effects have been eliminated.

    Attributes
    ----------
    logdet
        log|I + Lambda'ALambda| over all random effects.
    schur
        [X y]'V^-1[X y], shape (c, c).
    """

    logdet: Scalar
    schur: Float[Array, "c c"]


class Curvature(NamedTuple):
    """`Reduced`, with its derivatives along directions in the elements of Psi = Lambda Lambda'.

    V is linear in Psi, so that these hold at singular Psi too, and are all that inference needs.

    Attributes
    ----------
    logdet, schur
        As in `Reduced`.
    d_logdet, d_schur
        First derivatives, shapes (k,) and (k, c, c).
    dd_logdet, dd_schur
        Second derivatives, shapes (k, k) and (k, k, c, c).
    """

    logdet: Scalar
    schur: Float[Array, "c c"]
    d_logdet: Float[Array, " k"]
    d_schur: Float[Array, "k c c"]
    dd_logdet: Float[Array, "k k"]
    dd_schur: Float[Array, "k k c c"]


class Structure(Node):
    """Cross products of one arrangement of grouping factors with themselves and with [X y]."""

    @abc.abstractmethod
    def between(self, reml: bool) -> tuple[Between, ...]:
        """Return what each column of every factor's z explains, one `Between` a term."""

    @abc.abstractmethod
    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        """Eliminate all random effects at the given Lambda of each factor."""

    @property
    @abc.abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """Lengths in which data sets of one model differ: of levels, patterns, families, entries."""

    @abc.abstractmethod
    def extended(self, lengths: tuple[int, ...]) -> "Structure":
        """Return this structure with larger lengths: levels without rows add nothing to any sum.

        On NumPy arrays. What is returned answers `between`, `reduce` and `curvature`.
        """

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        """Eliminate as `reduce` does, and differentiate twice along symmetric directions of Psi.

        By automatic differentiation, hence in JAX; structures that know a closed form use it instead.
        """
        sizes = [len(E) for E in directions]
        ends = np.cumsum(sizes)[:-1]

        def shifted(t):
            pieces = jnp.split(t, ends)
            shifts = [jnp.einsum("k,kab->ab", piece, E) for piece, E in zip(pieces, directions, strict=True)]
            reduced = self.reduce([Shifted(*pair) for pair in zip(factors, shifts, strict=True)], C)
            return reduced, reduced

        def slope(t):
            derivative, value = jax.jacfwd(shifted, has_aux=True)(t)
            return derivative, (value, derivative)

        at = jnp.zeros(sum(sizes), jnp.asarray(C).dtype)
        second, (value, first) = jax.jacfwd(slope, has_aux=True)(at)
        # jacfwd puts the directions last.
        d, dd = jnp.moveaxis(first.schur, -1, 0), jnp.moveaxis(second.schur, (-2, -1), (0, 1))
        return Curvature(value.logdet, value.schur, first.logdet, d, second.logdet, dd)


class RowTerm(NamedTuple):
    """The random effects of one grouping factor in some rows: covariates z, and the level of each row."""

    z: Float[Array, "m q"]
    codes: Int[Array, " m"]


@dataclass(frozen=True, eq=False)
class Posterior(abc.ABC):
    """All random effects given the data: b | y ~ N(K Z'W(y - X beta), sigma^2 K).

    K = Lambda (I + Lambda'Z'WZLambda)^-1 Lambda' at one Lambda of each factor, never formed as a whole.
    Not a pytree: it is asked where it is made.
    """

    reduced: Reduced

    @abc.abstractmethod
    def modes(self, V: Float[Array, "c v"]) -> tuple[Float[Array, "J q v"], ...]:
        """Return K Z'W[X y]V, one array a factor: the conditional modes for V = (-beta, 1)."""

    @abc.abstractmethod
    def covariances(self) -> tuple[Float[Array, "J q q"], ...]:
        """Return the blocks of K that belong to single levels, one array a factor."""

    @abc.abstractmethod
    def variances(self, rows: tuple[RowTerm, ...]) -> Float[Array, " m"]:
        """Return z'Kz of each row, z taking in the effects of all factors."""


class Levels(Structure):
    """A structure that still knows every level."""

    @abc.abstractmethod
    def posterior(self, factors: Factors, C: Float[Array, "c c"]) -> Posterior:
        """Eliminate all random effects, and keep what questions about single levels need."""


def both_ways(half: Float[Array, "k k c c"]) -> Float[Array, "k k c c"]:
    """Return T_kl + T_lk of the halves T_kl = R'E_k F E_l R of the second derivatives of S."""
    return half + half.swapaxes(0, 1)
