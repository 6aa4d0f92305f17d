"""Chi-square draws of many degrees of freedom at once."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as JaxArray, Float, PRNGKeyArray

from ._random import normals, uniforms
from ._types import varying_like


def chi_square(
    key: PRNGKeyArray,
    degrees: Float[JaxArray, " m"],
    first: int = 0,
    proposed: tuple[Float[JaxArray, " m"], Float[JaxArray, " m"]] | None = None,
) -> Float[JaxArray, " m"]:
    """Draw from chi-square distributions with whole degrees of freedom, zero among them.

    By rejection (Marsaglia & Tsang 2000, doi:10.1145/358407.358414), of one proposal in twenty at most. All
    draws of a batch are proposed at once, where `jax.random.chisquare` makes one after the other.

    Parameters
    ----------
    key, first
        A random key, and how many of its numbers are taken; those that follow are used.
    degrees
        Degrees of freedom.
    proposed
        Standard normal and uniform numbers of the first proposal, if they are drawn.
    """
    m = len(degrees)
    few = degrees < 2  # zero or one: the square of as many normal draws
    d = jnp.where(few, 1, degrees / 2) - 1 / 3
    c = 1 / jnp.sqrt(9 * d)

    def propose(z, u):
        cz = c * z
        valid = cz > -1
        # (1 + cz)^3 - 1, so that large degrees of freedom lose no digits
        excess = cz * (3 + cz * (3 + cz))
        log_v = 3 * jnp.log1p(jnp.where(valid, cz, 0))
        accepted = few | (valid & (jnp.log1p(u) - np.log(2.0) < z**2 / 2 + d * (log_v - excess)))
        return jnp.where(few, degrees * z**2, 2 * d * (1 + excess)), accepted

    def again(state):
        i, value, accepted = state
        u = uniforms(key, 2 * m, degrees.dtype, first + 2 * m * i)
        other, enough = propose(normals(u[:m]), u[m:])
        return i + 1, jnp.where(accepted, value, other), accepted | enough

    if proposed is None:
        u = uniforms(key, 2 * m, degrees.dtype, first)
        proposed = normals(u[:m]), u[m:]
    start = jnp.ones((), jnp.int32), *(varying_like(leaf, key, degrees) for leaf in propose(*proposed))
    return jax.lax.while_loop(lambda state: ~state[2].all(), again, start)[1]
