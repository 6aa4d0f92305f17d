"""One large symmetric positive-definite matrix: the Schur complement of crossed factors.

Here the library's factorisation is what is wanted, once for each value of theta. The derivative is
stated in terms of the inverse, formed once,

    d log|S|      = <S^-1, dS>
    d W'S^-1W     = dW'Y + Y'dW - Y'dS Y,     Y = S^-1 W

because differentiating through the factorisation costs several triangular solves with the whole matrix.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._types import Array, Scalar, namespace


def logdet_gram(
    S: Float[Array, "D D"], W: Float[Array, "D c"]
) -> tuple[Scalar, Float[Array, "c c"], Float[Array, "D D"]]:
    """Return log|S|, W'S^-1W and S^-1 for one symmetric positive-definite matrix."""
    if namespace(S, W) is np:
        logdet, inverse = _with_numpy(S)
        return logdet, W.T @ inverse @ W, inverse
    return _logdet_gram(S, W)


def _with_numpy(S):
    try:
        root = np.linalg.solve(np.linalg.cholesky(S), np.eye(len(S)))
    except np.linalg.LinAlgError:
        return np.nan, np.full_like(S, np.nan)
    return -2 * np.log(np.diagonal(root)).sum(), root.T @ root


@jax.custom_jvp
def _logdet_gram(S, W):
    logdet, inverse = _logdet_inverse(S)
    return logdet, W.T @ (inverse @ W), inverse


@_logdet_gram.defjvp
def _(primals, tangents):
    (S, W), (dS, dW) = primals, tangents
    logdet, inverse = _logdet_inverse(S)
    Y = inverse @ W
    cross = dW.T @ Y
    d_gram = cross + cross.T - Y.T @ (dS @ Y)
    d_inverse = -inverse @ dS @ inverse
    return (logdet, W.T @ Y, inverse), ((inverse * dS).sum(), d_gram, d_inverse)


@jax.custom_jvp
def _logdet_inverse(S):
    lower = jax.lax.linalg.cholesky(S, symmetrize_input=False)
    root = jax.lax.linalg.triangular_solve(lower, jnp.eye(len(S), dtype=S.dtype), left_side=True, lower=True)
    return 2 * jnp.log(jnp.diagonal(lower)).sum(), root.T @ root


@_logdet_inverse.defjvp
def _(primals, tangents):
    (S,), (dS,) = primals, tangents
    logdet, inverse = _logdet_inverse(S)
    return (logdet, inverse), ((inverse * dS).sum(), -inverse @ dS @ inverse)
