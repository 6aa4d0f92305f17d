"""log|B| from a few columns, and its derivative, without B.

For any orthonormal V, with Q = I - VV' and z of independent signs,

      log|B| = sum_i v_i'log(B)v_i  + E z'Q log(B) Q z,
    d log|B| = sum_i v_i'dB B^-1v_i + E z'Q dB B^-1Q z.

V holds the directions in which B is far from the identity, as well as these are known; however well, the
mean is right, and with them out of the way it varies little. The signs are drawn once, so that log|B| is a
smooth function of theta, and each of them tells how far off it may be.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from ._krylov import Columns, Krylov, dot, is_constant, log_quadrature, moved_by
from ._scaled_schur import ScaledSchur
from ._types import Array

DEPENDENT = 1e-6  # of a unit column: what is left of one when others that span it are taken away


class Probes(NamedTuple):
    """Columns, and how much each counts.

    Attributes
    ----------
    columns
        V and Q z, r + m columns, tuples of shape (J, q, r + m).
    weights
        1 for each of V, 1 / m for each of Q z, shape (r + m,).
    """

    columns: Columns
    weights: Float[Array, " s"]


def signs(sizes: tuple[tuple[int, int], ...], n: int, seed: Int[Array, ""], dtype) -> Columns:
    """Draw n columns of independent signs, one array (J, q, n) a factor."""
    keys = jax.random.split(jax.random.key(seed), len(sizes))
    return tuple(
        jax.random.rademacher(key, (J, q, n), jnp.int8).astype(dtype)
        for key, (J, q) in zip(keys, sizes, strict=True)
    )


def orthonormal(x: Columns) -> Columns:
    """Return an orthonormal basis of what the columns span, and zeros for columns that earlier ones span."""
    size = jnp.sqrt(dot(x, x))
    x = tuple(a / size for a in x)

    def clean(j, V):
        v = tuple(a[:, :, j, None] for a in V)
        earlier = tuple(jnp.where(jnp.arange(a.shape[2]) < j, a, 0) for a in V)
        for _ in range(2):  # once leaves rounding of the size of what was taken away
            inside = between(earlier, v)
            v = tuple(a - b @ inside for a, b in zip(v, earlier, strict=True))
        length = jnp.sqrt(dot(v, v))
        v = tuple(jnp.where(length > DEPENDENT, a / length, 0) for a in v)
        return tuple(a.at[:, :, j].set(b[:, :, 0]) for a, b in zip(V, v, strict=True))

    return jax.lax.fori_loop(0, len(size), clean, x)


def probes(known: Columns, z: Columns) -> Probes:
    """Bring known directions and signs together; both count as constants."""
    V, z = (jax.lax.stop_gradient(x) for x in (orthonormal(known), z))
    inside = jnp.stack([jnp.einsum("jqr,jqm->rm", v, a) for v, a in zip(V, z, strict=True)]).sum(0)
    columns = tuple(jnp.concatenate([v, a - v @ inside], axis=2) for v, a in zip(V, z, strict=True))
    r, m = inside.shape
    weights = jnp.concatenate([jnp.ones(r, inside.dtype), jnp.full(m, 1 / m, inside.dtype)])
    return Probes(columns, weights)


def logarithms(B: ScaledSchur, w: Columns, x: Columns, krylov: Krylov) -> Float[Array, " s"]:
    """Return w'log(B)w of each column, x being B^-1 w, with the derivative w'dB x."""
    value = jax.lax.stop_gradient(dot(w, w) * log_quadrature(krylov))
    return _logarithms(value, B, w, x)


@jax.custom_jvp
def _logarithms(value, B, w, x):
    return value


def _logarithms_rule(primals, tangents):
    value, B, w, x = primals
    moved = moved_by(B, tangents[1], x)
    tangent = jnp.zeros_like(value) if moved is None else dot(w, moved)
    return _logarithms(value, B, w, x), tangent


_logarithms.defjvp(_logarithms_rule, symbolic_zeros=True)


@jax.custom_jvp
def gram(B: ScaledSchur, w: Columns, x: Columns) -> Float[Array, "c c"]:
    """Return w'B^-1w, x being B^-1 w: nothing needs solving again for the derivative."""
    return between(w, x)


def _gram_rule(primals, tangents):
    (B, w, x), (d_B, dw, _) = primals, tangents
    moved = moved_by(B, d_B, x)
    tangent = jnp.zeros_like(gram(B, w, x)) if moved is None else -between(x, moved)
    if not is_constant(dw):
        cross = between(dw, x)
        tangent = tangent + cross + cross.T
    return gram(B, w, x), tangent


gram.defjvp(_gram_rule, symbolic_zeros=True)


def between(x: Columns, y: Columns) -> Float[Array, "a b"]:
    """Return x'y."""
    return jnp.stack([jnp.einsum("jqa,jqb->ab", a, b) for a, b in zip(x, y, strict=True)]).sum(0)
