"""The span of the random effects in orthonormal coordinates, where residuals are independent.

Eliminating the factors one after the other, innermost first, writes the weighted columns as

    z_f = E_f H_f' + sum over inner g of E_g X_gf,     Q = sum_f E_f X_f + what lies outside the span of Z,

with E_f orthonormal: A_f = H_f H_f' and X_f = H_f^- B_f of what is left when the inner factors are gone. In
the coordinates tau_f = E_f'y* the residuals are standard normal, and everything else follows:

    tau_f = H_f'b_f + sum over outer g of X_fg b_g + e_f,      Q'y* = sum_f X_f'tau_f + rest,
    z_f'y* = H_f tau_f + sum over inner g of X_gf'tau_g.

`Chain` draws tau level by level. `Merged` draws it for levels that share a pattern, of which only
sum_j vec(X_j) tau_j' and sum_j tau_j tau_j' matter. Let F have the m rows vec(X_j)', and P'P = F'F be of rank
r. Rotate the levels so that F becomes P: the first r rows of tau are normal, each of covariance
M = I + H'Psi H, and the cross products of the other m - r are a Wishart matrix. The rows of its Bartlett
factor stand for them. So m levels become at most q p + q rows, whatever m.
"""

import abc

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._nested import to_parents
from ._node import Node
from ._structure import Factors
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


class Chain(Part):
    """Nested factors, innermost first, level by level; one factor is a chain of one.

    Attributes
    ----------
    own, outer
        H' and X for the z of all outer factors, shapes (slots, q, q) and (slots, q, v).
    root
        R'R = I + H'Psi H of the innermost factor: its effects and residuals are drawn together.
    factors
        Relative covariance factor of each factor in conditioned coordinates.
    parents
        For each factor but the outermost, the slot of every slot's parent, or `None` for equal blocks.
    """

    own: tuple[Float[jax.Array, "slots q q"], ...]
    outer: tuple[Float[jax.Array, "slots q v"], ...]
    root: Float[jax.Array, "slots q q"]
    factors: tuple[Float[jax.Array, "q q"], ...]
    parents: tuple[Int[jax.Array, " slots"] | None, ...]

    @classmethod
    def build(cls, rows, parents, factors: Factors) -> "Chain":
        """Eliminate factor after factor; rows are Z_f'W[Z_f Z_outer ... Q], as in `Nested`."""
        rows, own, outer, fixed = list(rows), [], [], []
        ends = np.cumsum([row.shape[1] for row in rows])
        # What the inner factors leave of a column may be rounding: pivots are compared with what it was.
        before = [jnp.diagonal(row, axis1=1, axis2=2).max(1) for row in rows]
        for level in range(len(rows)):
            row = rows[level]
            q, last = row.shape[1], ends[-1] - ends[level]
            H, X = jax.vmap(whiten)(row[:, :, :q], row[:, :, q:], before[level])
            taken, first = jnp.einsum("jiv,jiw->jvw", X[:, :, :last], X), 0
            for above in range(level + 1, len(rows)):
                size, width = rows[above].shape[:2]
                taken = to_parents(taken, parents[above - 1], size)
                rows[above] = rows[above] - taken[:, first : first + width, first:]
                first += width
            own.append(H)
            outer.append(X[:, :, :last])
            fixed.append(X[:, :, last:])
        root = jax.vmap(draw_root, in_axes=(0, None))(own[0], factors[0] @ factors[0].T)
        return cls(tuple(fixed), tuple(own), tuple(outer), root, tuple(factors), parents)

    @property
    def n_normals(self) -> int:
        sizes = [H.shape[0] * H.shape[1] for H in self.own]
        return sizes[0] + 2 * sum(sizes[1:])

    @property
    def degrees(self) -> Float[jax.Array, " m"]:
        return jnp.zeros(0, self.root.dtype)

    @property
    def rank(self) -> Scalar:
        return sum((kept(H).sum() for H in self.own[1:]), kept(self.own[0]).sum())

    def draw(self, normals: Float[jax.Array, " l"], chi: Float[jax.Array, " m"]) -> Coordinates:
        shapes = [H.shape[:2] for H in self.own]
        sizes = [J * q for J, q in [shapes[0], *(s for s in shapes[1:] for _ in range(2))]]
        w, *pairs = jnp.split(normals, np.cumsum(sizes)[:-1])
        tau: list[jax.Array] = [jnp.zeros(s, normals.dtype) for s in shapes]
        effects: list[jax.Array] = []  # of all outer factors, at each slot of the current one
        for f in reversed(range(1, len(shapes))):
            b = pairs[2 * f - 2].reshape(shapes[f]) @ self.factors[f].T
            residual = pairs[2 * f - 1].reshape(shapes[f]) * kept(self.own[f])
            tau[f] = residual + _times(self.own[f], b) + self._from_outer(f, effects)
            effects = [self._to_children(f - 1, e) for e in [b, *effects]]
        tau[0] = _times(self.root.swapaxes(1, 2), w.reshape(shapes[0])) + self._from_outer(0, effects)
        return tuple(tau)

    def products(self, tau: Coordinates) -> list[Float[jax.Array, "slots q"]]:
        """Return Z'y of each factor for the y that has coordinates tau."""
        totals = [_times(H.swapaxes(1, 2), t) for H, t in zip(self.own, tau, strict=True)]
        for f in range(len(totals)):
            taken, first = _times(self.outer[f].swapaxes(1, 2), tau[f]), 0
            for above in range(f + 1, len(totals)):
                size, width = totals[above].shape
                taken = to_parents(taken, self.parents[above - 1], size)
                totals[above] = totals[above] + taken[:, first : first + width]
                first += width
        return totals

    def _from_outer(self, f: int, effects: list):
        if not effects:
            return jnp.zeros(self.own[f].shape[:2], self.root.dtype)
        return _times(self.outer[f], jnp.concatenate(effects, axis=1))

    def _to_children(self, child: int, values):
        """Give every slot of a factor the values of its parent."""
        parent = self.parents[child]
        if parent is None:
            return jnp.repeat(values, len(self.own[child]) // len(values), axis=0)
        return values[parent]


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


def _times(matrices, vectors):
    return jnp.einsum("jab,jb->ja", matrices, vectors)
