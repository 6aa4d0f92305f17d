"""The span of the random effects in orthonormal coordinates, where residuals are independent.

Eliminating the factors one after the other, innermost first, writes the weighted columns as

    z_f = E_f H_f' + sum over inner g of E_g X_gf,     Q = sum_f E_f X_f + what lies outside the span of Z,

with E_f orthonormal: A_f = H_f H_f' and X_f = H_f^- B_f of what is left when the inner factors are gone. In
the coordinates tau_f = E_f'y* the residuals are standard normal, and everything else follows:

    tau_f = H_f'b_f + sum over outer g of X_fg b_g + e_f,      Q'y* = sum_f X_f'tau_f + rest,
    z_f'y* = H_f tau_f + sum over inner g of X_gf'tau_g.

`Chain` draws tau level by level, `Merged` for all levels that share a pattern.
"""

import abc

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ._node import Node
from ._types import Scalar, varying_like

NEGLIGIBLE = 100  # times eps: a pivot this small beside the largest is rounding

Coordinates = tuple[Float[jax.Array, "*levels q"], ...]


def whiten(
    A: Float[jax.Array, "q q"],
    B: Float[jax.Array, "q v"] | None = None,
    size: Scalar | None = None,
    most: Scalar | None = None,
) -> tuple[Float[jax.Array, "q q"], Float[jax.Array, "q v"]]:
    """Return H' and H^- B with A = H H', by Cholesky elimination with the largest pivot first.

    A may be singular: its rank is the number of rows of H' that are not zero, and those come first.

    Parameters
    ----------
    A
        Symmetric and positive semidefinite.
    B
        Columns in the range of A; none by default.
    size
        What pivots are negligible beside; the largest diagonal element of A by default.
    most
        The rank that A cannot exceed.
    """
    q = len(A)
    if q == 0:
        return A, A if B is None else B
    floor = NEGLIGIBLE * float(jnp.finfo(A.dtype).eps) * (jnp.diagonal(A).max() if size is None else size)
    most = q if most is None else most

    def step(carry, k):
        M, free = carry
        pivots = jnp.where(free, jnp.diagonal(M), -1)
        here = jnp.arange(q) == jnp.argmax(pivots)
        pivot = pivots.max()
        keep = (pivot > floor) & (k < most)
        row = jnp.where(keep, here.astype(M.dtype) @ M / jnp.sqrt(jnp.where(keep, pivot, 1)), 0)
        return (M - row[:q, None] * row[None, :], free & ~here), row

    start = A if B is None else jnp.concatenate([A, B], axis=1)
    free = varying_like(jnp.ones(q, bool), start)
    _, rows = jax.lax.scan(step, (start, free), jnp.arange(q))
    return rows[:, :q], rows[:, q:]


def kept(H: Float[jax.Array, "*levels q q"]) -> Float[jax.Array, "*levels q"]:
    """Return one for each row of H' that is not zero, and zero for the others."""
    return (H != 0).any(-1).astype(H.dtype)


def draw_root(H: Float[jax.Array, "q q"], Psi: Float[jax.Array, "q q"]) -> Float[jax.Array, "q q"]:
    """Return R with R'R = I + H'Psi H on the rows of H' that are not zero, so that w'R draws H'b + e."""
    R, _ = whiten(jnp.eye(len(H), dtype=H.dtype) + H @ Psi @ H.T)
    return R * kept(H)[None, :]


class Part(Node):
    """Some of the random effects in orthonormal coordinates.

    Attributes
    ----------
    fixed
        X: what each array of coordinates has of the columns of Q, its last axis.
    """

    fixed: tuple[Float[jax.Array, "*levels q p"], ...]

    @property
    @abc.abstractmethod
    def n_normals(self) -> int:
        """Number of normal draws that `draw` takes."""

    @property
    @abc.abstractmethod
    def degrees(self) -> Float[jax.Array, " m"]:
        """Degrees of freedom of the chi-square draws that `draw` takes."""

    @abc.abstractmethod
    def draw(self, normals: Float[jax.Array, " l"], chi: Float[jax.Array, " m"]) -> Coordinates:
        """Turn standard normal and chi draws into coordinates of Zb + e, relative to sigma."""

    @property
    @abc.abstractmethod
    def rank(self) -> Scalar:
        """Dimension of the span."""

    def gram(self) -> Float[jax.Array, "p p"]:
        """Return X'X."""
        flat = [X.reshape(-1, X.shape[-1]) for X in self.fixed]
        return sum((X.T @ X for X in flat[1:]), flat[0].T @ flat[0])

    def onto_fixed(self, tau: Coordinates) -> Float[jax.Array, " p"]:
        """Return X'tau."""
        pieces = [X.reshape(-1, X.shape[-1]).T @ t.reshape(-1) for X, t in zip(self.fixed, tau, strict=True)]
        return sum(pieces[1:], pieces[0])

    def without_fixed(self, tau: Coordinates, h: Float[jax.Array, " p"]) -> Coordinates:
        """Return tau - X h."""
        return tuple(t - X @ h for X, t in zip(self.fixed, tau, strict=True))
