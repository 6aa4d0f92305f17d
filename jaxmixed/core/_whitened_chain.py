"""Nested levels in the coordinates of `_whitened`, drawn one by one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._nested import to_parents
from ._structure import Factors
from ._types import Scalar
from ._whitened import Coordinates, Part, draw_root, kept, whiten


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


def _times(matrices, vectors):
    return jnp.einsum("jab,jb->ja", matrices, vectors)
