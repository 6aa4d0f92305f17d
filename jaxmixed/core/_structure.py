"""What every arrangement of grouping factors must answer, so that all else is written once.

Eliminating the random effects from the weighted cross products of [Z X y] leaves

    logdet = log|I + Lambda'Z'WZLambda|
    S      = [X y]'V^-1[X y],     V = W^-1 + Z Lambda Lambda' Z'

and these two are all that the criterion, beta, sigma and their covariance need.
"""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Float

from ._small import logdet_inverse
from ._types import Array, Scalar, namespace

Factors = list[Float[Array, "q q"]]


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


class Structure(eqx.Module):
    """Cross products of one arrangement of grouping factors with themselves and with [X y]."""

    @abc.abstractmethod
    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        """Eliminate all random effects at the given Lambda of each factor."""


class Levels(Structure):
    """A structure that still knows every level."""

    @abc.abstractmethod
    def modes(self, factors: Factors, v: Float[Array, " c"]) -> tuple[Float[Array, "J q"], ...]:
        """Return the conditional modes b = E[b | y], given v = (-beta, 1), one array a factor."""

    @abc.abstractmethod
    def mode_covariances(self, factors: Factors) -> tuple[Float[Array, "J q q"], ...]:
        """Return Var(b | y) / sigma^2 at known beta, one array a factor."""


class Plan(eqx.Module):
    """All of a structure that does not depend on [X y]: built once, used for every response."""

    @abc.abstractmethod
    def attach(self, V: Float[Array, "n c"]) -> Levels:
        """Take the cross products with the columns V = [X y]."""

    @abc.abstractmethod
    def compressed(self, V: Float[Array, "n c"]) -> Structure:
        """Do as `attach`, keeping only what `reduce` needs: levels that repeat are merged."""


def eliminate(
    factor: Float[Array, "q q"], A: Float[Array, "J q q"]
) -> tuple[Float[Array, " J"], Float[Array, "J q q"]]:
    """Return log|M_j| and K_j = Lambda M_j^-1 Lambda', with M_j = Lambda'A_jLambda + I."""
    xp = namespace(factor, A)
    M = factor.T @ A @ factor + xp.eye(factor.shape[0], dtype=factor.dtype)
    logdet, inverse = logdet_inverse(M)
    return logdet, factor @ inverse @ factor.T
