"""Drawing responses from a model, row by row.

y* = X beta + offset + sum_t Z_t b_t + e,
b_t ~ N(0, sigma^2 I (x) Lambda_t Lambda_t'),   e ~ N(0, sigma^2 W^-1)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from ._covariance import relative_factors
from ._design import Design
from ._types import Array, Scalar, Theta


def simulate(
    key: PRNGKeyArray, design: Design, theta: Theta, beta: Float[Array, " p"], sigma: Scalar
) -> Float[jax.Array, " n"]:
    """Draw a response for the rows of a design, with new random effects and residuals.

    Parameters
    ----------
    key
        A JAX random key; the draw depends on it alone.
    design
        The rows. Its response is not used.
    theta
        Relative covariance parameters, shape (k,).
    beta
        Fixed effects, shape (p,).
    sigma
        Residual standard deviation of a row of weight one, in units of y.

    Returns
    -------
    Float[jax.Array, " n"]
        The response, of the type of `design.X`.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from jaxmixed import core
    >>> ones = np.ones((6, 1), np.float32)
    >>> term = core.RandomTerm(ones, np.repeat(np.arange(2), 3), 2, (1,))
    >>> design = core.Design(ones[:, 0], ones, (term,))
    >>> core.simulate(jax.random.key(0), design, np.array([0.5]), np.array([10.0]), 1.0).shape
    (6,)
    """
    X = jnp.asarray(design.X)
    blocks = tuple(term.blocks for term in design.terms)
    residual = jax.random.normal(jax.random.fold_in(key, 0), (len(X),), X.dtype)
    if design.weights is not None:
        residual = residual / jnp.sqrt(jnp.asarray(design.weights, X.dtype))
    total = residual
    factors = relative_factors(jnp.asarray(theta, X.dtype), blocks)
    for t, (term, factor) in enumerate(zip(design.terms, factors, strict=True)):
        shape = (term.n_levels, len(factor))
        u = jax.random.normal(jax.random.fold_in(key, t + 1), shape, X.dtype)
        total = total + (jnp.asarray(term.z) * (u @ factor.T)[jnp.asarray(term.codes)]).sum(1)
    mean = X @ jnp.asarray(beta, X.dtype)
    if design.offset is not None:
        mean = mean + jnp.asarray(design.offset)
    return mean + jnp.asarray(sigma, X.dtype) * total
