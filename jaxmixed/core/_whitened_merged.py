"""Levels that share a pattern in the coordinates of `_whitened`, drawn all at once.

Only sum_j vec(X_j) tau_j' and sum_j tau_j tau_j' matter. Let F have the m rows vec(X_j)', and P'P = F'F be of
rank r. Rotate the levels so that F becomes P: the first r rows of tau are normal, each of covariance
M = I + H'Psi H, and the cross products of the other m - r are a Wishart matrix. The rows of its Bartlett
factor stand for them. So m levels become at most q p + q rows, whatever m.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ._types import Scalar
from ._whitened import Coordinates, Part, draw_root, kept, whiten


class Merged(Part):
    """Levels that share a pattern, as q p + q rows each: X is zero in the last q, of Bartlett's factor.

    Attributes
    ----------
    counts
        Number of levels of each pattern, shape (U,).
    own, root
        H', and R'R = I + H'Psi H, shapes (U, q, q).
    """

    counts: Float[jax.Array, " U"]
    own: Float[jax.Array, "U q q"]
    root: Float[jax.Array, "U q q"]

    @classmethod
    def build(cls, counts, A, G, Psi: Float[jax.Array, "*U q q"]) -> "Merged":
        """Take counts, Z'WZ and sum_j vec(Z_j'W Q_j) vec(Z_j'W Q_j)', as in `Patterns`, and Psi."""

        def one(count, A, G, Psi):
            q, p = G.shape[1:3]
            H, inverse = whiten(A, jnp.eye(q, dtype=A.dtype))
            G = jnp.einsum("ai,bj,ijcd->acbd", inverse, inverse, G).reshape(q * p, q * p)
            P, _ = whiten(G, most=count)
            return jnp.pad(P.reshape(q * p, q, p), ((0, q), (0, 0), (0, 0))), H, draw_root(H, Psi)

        fixed, own, root = jax.vmap(one)(counts, A, G, jnp.broadcast_to(Psi, A.shape))
        return cls((fixed,), counts, own, root)

    @property
    def n_normals(self) -> int:
        return self.fixed[0].shape[0] * self.fixed[0].shape[1] * self.own.shape[1]

    @property
    def degrees(self) -> Float[jax.Array, " m"]:
        nu, q = self.counts - self._in_fixed().sum(1), self.own.shape[1]
        return jnp.maximum(nu[:, None] - jnp.arange(q, dtype=nu.dtype), 0).reshape(-1)

    @property
    def rank(self) -> Scalar:
        return self.counts @ kept(self.own).sum(1)

    def draw(self, normals: Float[jax.Array, " l"], chi: Float[jax.Array, " m"]) -> Coordinates:
        U, K, q = self.fixed[0].shape[:3]
        w = normals.reshape(U, K, q)
        chi = chi.reshape(U, q)
        below = jnp.triu(w[:, -q:], 1) * (chi > 0)[:, :, None]
        bartlett = below + chi[:, :, None] * jnp.eye(q, dtype=w.dtype)
        gaussian = w[:, : K - q] * self._in_fixed()[:, :, None]
        return (jnp.concatenate([gaussian, bartlett], axis=1) @ self.root,)

    def products(self, tau: Coordinates) -> Float[jax.Array, "U K q"]:
        """Return Z'y of each row for the y that has coordinates tau."""
        return tau[0] @ self.own

    def products_fixed(self) -> Float[jax.Array, "U K q p"]:
        """Return Z'WQ of each row."""
        return jnp.einsum("uai,ukap->ukip", self.own, self.fixed[0])

    def _in_fixed(self):
        """Return one for each row, but the last q, that has a part of Q."""
        X = self.fixed[0][:, : -self.own.shape[1]]
        return (X != 0).any((2, 3)).astype(X.dtype)
