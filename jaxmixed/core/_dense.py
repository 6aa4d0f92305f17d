"""One large symmetric positive-definite matrix: the Schur complement of crossed factors.

S is given by its lower triangle, zeros above. The derivative is stated in terms of the inverse,

    d log|S|      = <S^-1, dS>
    d W'S^-1W     = dW'Y + Y'dW - Y'dS Y,     Y = S^-1 W

because differentiating through a factorisation costs several triangular solves with the whole matrix.
The inverse is formed by halves, S^-1 from the inverses of S_11 and of S_22 - S_21 S_11^-1 S_12, so that
nearly all its flops are matrix products, of symmetric ones the lower half only: D^3 in all, as many as by
a factorisation, at the speed of products. Blocks at the bottom are swept (Beaton 1964; Goodnight 1979,
doi:10.1080/00031305.1979.10482685), one strip of rows after another in a loop, which compiles faster than
further halves; the library factors what a strip is swept by.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._elimination import elimination_rule
from ._small import logdet_inverse
from ._types import Array, Scalar, namespace, pad, varying_like

LEAF = 600  # largest block that is swept rather than halved
STRIP = 150  # largest block that is factored, and most rows of a strip
PANEL = 256  # fewest columns of a panel, and
PANELS = 6  # most panels, in which the lower half of a symmetric product is formed
OWN = (
    64  # largest matrix that is eliminated here: many of them may stand in a batch, where libraries can hang
)


def logdet_gram(
    S: Float[Array, "D D"], W: Float[Array, "D c"]
) -> tuple[Scalar, Float[Array, "c c"], Float[Array, "D D"]]:
    """Return log|S|, W'S^-1W and S^-1; S is positive definite, its upper triangle zero."""
    if namespace(S, W) is np:
        logdet, inverse = _halved(S)
        return logdet, W.T @ (inverse @ W), inverse
    return _logdet_gram(S, W)


@jax.custom_jvp
def _logdet_gram(S, W):
    logdet, inverse = _logdet_inverse(S)
    return logdet, W.T @ (inverse @ W), inverse


@_logdet_gram.defjvp
def _(primals, tangents):
    (S, W), (dS, dW) = primals, tangents
    logdet, inverse = _logdet_inverse(S)
    Y = inverse @ W
    cross, within = dW.T @ Y, Y.T @ (dS @ Y)
    on_diagonal = Y.T @ (jnp.diagonal(dS)[:, None] * Y)
    d_gram = cross + cross.T - within - within.T + on_diagonal
    return (logdet, W.T @ Y, inverse), (_pairing(inverse, dS), d_gram, _d_inverse(inverse, dS))


@jax.custom_jvp
def _logdet_inverse(S):
    return _halved(S)


@_logdet_inverse.defjvp
def _(primals, tangents):
    (S,), (dS,) = primals, tangents
    logdet, inverse = _logdet_inverse(S)
    return (logdet, inverse), (_pairing(inverse, dS), _d_inverse(inverse, dS))


@jax.custom_jvp
def eliminate_dense(
    factor: Float[Array, "D D"], shift: Float[Array, "D D"], A: Float[Array, "D D"]
) -> tuple[Scalar, Float[Array, "D D"]]:
    """Return log|S| and K = Lambda S^-1 Lambda', S = I + Lambda'ALambda.

    Derivatives are stated in Psi, as those of `eliminate` are; `shift` is zero and there for one of them.
    """
    S = jnp.tril(factor.T @ A @ factor) + jnp.eye(len(A), dtype=A.dtype)
    logdet, inverse = _halved(S)
    return logdet, factor @ inverse @ factor.T


@eliminate_dense.defjvp
def _(primals, tangents):
    return elimination_rule(eliminate_dense, primals, tangents)


def _pairing(inverse, dS):
    """Return <S^-1, dS> for the lower triangle dS of a symmetric matrix."""
    return 2 * (inverse * dS).sum() - (jnp.diagonal(inverse) * jnp.diagonal(dS)).sum()


def _d_inverse(inverse, dS):
    half = inverse @ (dS - jnp.diag(jnp.diagonal(dS)) / 2) @ inverse
    return -half - half.T


def _halved(S):
    """Return log|S| and S^-1, by halves down to blocks that are factored."""
    xp = namespace(S)
    if len(S) <= OWN and xp is not np:
        return logdet_inverse(S + jnp.tril(S, -1).T)
    if len(S) <= STRIP:
        return _factored(S)
    if len(S) <= LEAF and xp is not np:
        return _swept(S)
    half = len(S) // 2
    corner = S[half:, :half]
    logdet, first = _halved(S[:half, :half])
    slope = corner @ first
    logdet_rest, last = _halved(S[half:, half:] - lower_product(slope.T, corner.T))
    lower = last @ slope
    first = first + symmetric(lower_product(slope, lower))
    return logdet + logdet_rest, xp.block([[first, -lower.T], [-lower, last]])


def lower_product(left: Float[Array, "m D"], right: Float[Array, "m D"]) -> Float[Array, "D D"]:
    """Return left'right where that is symmetric: right on and below the diagonal, anything above it."""
    xp, D = namespace(left, right), left.shape[1]
    width = max(PANEL, -(-D // PANELS))
    ends = [(a, min(a + width, D)) for a in range(0, D, width)]
    panels = [left[:, a:b].T @ right[:, :b] for a, b in ends]
    return xp.concatenate([pad(panel, ((0, 0), (0, D - panel.shape[1]))) for panel in panels])


def symmetric(lower: Float[Array, "*J D D"]) -> Float[Array, "*J D D"]:
    """Return the symmetric matrix of this lower triangle, or of several."""
    xp = namespace(lower)
    return xp.tril(lower) + xp.tril(lower, -1).swapaxes(-1, -2)


def _swept(S):
    """Return log|S| and S^-1, by sweeping one strip of rows after another."""
    D = len(S)
    count = -(-D // STRIP)
    width = -(-D // count)
    added = count * width - D  # rows of the identity, which change nothing
    start = jax.scipy.linalg.block_diag(symmetric(S), jnp.eye(added, dtype=S.dtype))

    def sweep(i, state):
        logdet, A = state
        first = i * width
        rows = jax.lax.dynamic_slice_in_dim(A, first, width)
        own, inverse = _factored(jax.lax.dynamic_slice_in_dim(rows, first, width, axis=1))
        slope = inverse @ rows
        A = A - rows.T @ slope
        slope = jax.lax.dynamic_update_slice_in_dim(slope, -inverse, first, axis=1)
        A = jax.lax.dynamic_update_slice_in_dim(A, slope, first, axis=0)
        return logdet + own, jax.lax.dynamic_update_slice_in_dim(A, slope.T, first, axis=1)

    begin = varying_like(jnp.zeros((), S.dtype), S), start
    logdet, swept = jax.lax.fori_loop(0, count, sweep, begin)
    return logdet, -swept[:D, :D]


def _factored(S):
    """Return log|S| and S^-1 from the Cholesky factor of the lower triangle."""
    if namespace(S) is np:
        try:
            lower = np.linalg.cholesky(S)
        except np.linalg.LinAlgError:
            return S[0, 0] * np.nan, np.full_like(S, np.nan)
        root = np.linalg.solve(lower, np.eye(len(S), dtype=S.dtype))
        return 2 * np.log(np.diagonal(lower)).sum(), root.T @ root
    lower = jax.lax.linalg.cholesky(S, symmetrize_input=False)
    root = jax.lax.linalg.triangular_solve(lower, jnp.eye(len(S), dtype=S.dtype), left_side=True, lower=True)
    return 2 * jnp.log(jnp.diagonal(lower)).sum(), root.T @ root
