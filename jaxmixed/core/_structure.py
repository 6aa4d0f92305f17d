"""What every arrangement of grouping factors must answer, so that all else is written once.

Eliminating the random effects from the weighted cross products of [Z X y] leaves

    logdet = log|I + Lambda'Z'WZLambda|
    S      = [X y]'V^-1[X y],     V = W^-1 + Z Lambda Lambda' Z'

and these two are all that the criterion, beta, sigma and their covariance need.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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


class Between(NamedTuple):
    """How much each column of a factor's z explains of the response by itself.

    Attributes
    ----------
    squares
        sum_j b_j^2 / a_j with a_j = z_j'Wz_j and b_j = z_j'Wy_j, shape (q,).
    levels
        Number of levels with a_j > 0, shape (q,).
    """

    squares: Float[Array, " q"]
    levels: Float[Array, " q"]


class Structure(eqx.Module):
    """Cross products of one arrangement of grouping factors with themselves and with [X y]."""

    @abc.abstractmethod
    def between(self) -> tuple[Between, ...]:
        """Return what each column of every factor's z explains, one `Between` a term."""

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


class Plan(abc.ABC):
    """All of a structure that does not depend on [X y]: built once, used for every response.

    A plain class, not a pytree: it holds level codes and decisions, made outside of any trace.
    """

    @abc.abstractmethod
    def attach(self, V: Float[Array, "n c"]) -> Levels:
        """Take the cross products with the columns V = [X y]."""

    @abc.abstractmethod
    def compressed(self, V: Float[Array, "n c"]) -> Structure:
        """Do as `attach`, keeping only what `reduce` needs: levels that repeat are merged."""


def between(a: Float[Array, "J q"], b2: Float[Array, "J q"], counts: Float[Array, " J"]) -> Between:
    """Sum b_j^2 / a_j over levels, those without rows left out."""
    xp = namespace(a, b2)
    seen = a > 0
    squares = xp.where(seen, b2 / xp.where(seen, a, 1.0), 0.0).sum(0)
    return Between(squares, (seen * counts[:, None]).sum(0))


def eliminate(
    factor: Float[Array, "q q"], A: Float[Array, "J q q"]
) -> tuple[Float[Array, " J"], Float[Array, "J q q"]]:
    """Return log|M_j| and K_j = Lambda M_j^-1 Lambda', with M_j = Lambda'A_jLambda + I.

    With Psi = Lambda Lambda', N = I - K A and A N = Z'V^-1Z,

        d log|M| = tr(A N dPsi) + tr(K dA),     dK = N dPsi N' - K dA K

    hold at singular Lambda too, and say all that derivatives of any order need.
    """
    if namespace(factor, A) is np:
        return _eliminate(factor, A)
    return jax.vmap(_eliminate_one, in_axes=(None, 0))(jnp.asarray(factor), jnp.asarray(A))


def _eliminate(factor, A):
    M = factor.T @ A @ factor + namespace(factor, A).eye(len(factor), dtype=factor.dtype)
    logdet, inverse = logdet_inverse(M)
    return logdet, factor @ inverse @ factor.T


@jax.custom_jvp
def _eliminate_one(factor, A):
    return _eliminate(factor, A)


@_eliminate_one.defjvp
def _(primals, tangents):
    (factor, A), (d_factor, dA) = primals, tangents
    logdet, K = _eliminate_one(factor, A)
    N = jnp.eye(len(A), dtype=A.dtype) - K @ A
    half = d_factor @ factor.T
    dPsi = half + half.T
    d_logdet = ((A @ N) * dPsi).sum() + (K * dA).sum()
    return (logdet, K), (d_logdet, N @ dPsi @ N.T - K @ dA @ K)
