"""The random effects of single levels, eliminated: log|M| and K, and their derivatives of any order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._small import logdet_inverse
from ._types import Array, identity, namespace


class Shifted(NamedTuple):
    """A relative covariance Psi = Lambda Lambda' + shift, for derivatives where the shift is zero."""

    factor: Float[Array, "q q"]
    shift: Float[Array, "q q"]


def eliminate(
    factor: Float[Array, "q q"] | Shifted, A: Float[Array, "J q q"]
) -> tuple[Float[Array, " J"], Float[Array, "J q q"]]:
    """Return log|M_j| and K_j = Lambda M_j^-1 Lambda', with M_j = Lambda'A_jLambda + I.

    With Psi = Lambda Lambda', N = I - K A and A N = Z'V^-1Z,

        d log|M| = tr(A N dPsi) + tr(K dA),     dK = N dPsi N' - K dA K

    hold at singular Lambda too, and say all that derivatives of any order need.
    """
    if isinstance(factor, Shifted):
        return jax.vmap(_eliminate_one, in_axes=(None, None, 0))(*factor, jnp.asarray(A))
    if namespace(factor, A) is np:
        return _eliminate(factor, A)
    factor = jnp.asarray(factor)
    return jax.vmap(_eliminate_one, in_axes=(None, None, 0))(factor, jnp.zeros_like(factor), jnp.asarray(A))


def _eliminate(factor, A):
    M = factor.T @ A @ factor + identity(len(factor), factor.dtype)
    logdet, inverse = logdet_inverse(M)
    return logdet, factor @ inverse @ factor.T


@jax.custom_jvp
def _eliminate_one(factor, shift, A):
    """Eliminate one level; `shift` is zero and there for its derivative."""
    return _eliminate(factor, A)


@_eliminate_one.defjvp
def _(primals, tangents):
    return elimination_rule(_eliminate_one, primals, tangents)


def elimination_rule(eliminate, primals, tangents):
    """Return log|M| and K of one level with their derivatives, as `eliminate` states them."""
    (factor, shift, A), (d_factor, d_shift, dA) = primals, tangents
    logdet, K = eliminate(factor, shift, A)
    N = jnp.eye(len(A), dtype=A.dtype) - K @ A
    half = d_factor @ factor.T
    dPsi = half + half.T + d_shift
    d_logdet = ((A @ N) * dPsi).sum() + (K * dA).sum()
    return (logdet, K), (d_logdet, N @ dPsi @ N.T - K @ dA @ K)
