"""Any other arrangement of grouping factors: eliminate the largest, keep the others dense.

With e the factor of most levels and o all others side by side,

    S_oo = Lambda_o'(A_oo - sum_j A_oj K_j A_jo)Lambda_o + I,     j over the levels of e,

is factored once for each theta. A_jo is mostly sparse: large ones are kept as a list of entries, one for
every level of e and column of o that meet in a row, and nothing of size n x D or J x D is formed.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._between import Between, between
from ._couplings import Couplings
from ._crossed_curvature import crossed_curvature
from ._crossed_posterior import CrossedPosterior
from ._dense import eliminate_dense, logdet_gram, symmetric
from ._elimination import Shifted, eliminate
from ._node import static
from ._patterns import pad_rows
from ._structure import Curvature, Directions, Factors, Levels, Reduced
from ._types import Array, namespace

Sizes = tuple[tuple[int, int], ...]


class Solved(NamedTuple):
    """The random effects eliminated, and what was made on the way.

    Attributes
    ----------
    reduced
        What the criterion needs.
    K
        Lambda M_j^-1 Lambda' of each level of e.
    columns
        Cross products of o with [X y] after e has been eliminated.
    inverse
        S_oo^-1.
    """

    reduced: Reduced
    K: Float[Array, "J q q"]
    columns: Float[Array, "D c"]
    inverse: Float[Array, "D D"]


class Crossed(Levels):
    """Cross products of crossed factors: the eliminated one in blocks, the others dense."""

    A: Float[Array, "J q q"]
    B: Float[Array, "J q c"]
    couplings: Couplings
    A_others: Float[Array, "D D"]  # its lower triangle, zeros above
    B_others: Float[Array, "D c"]
    sizes: Sizes = static()  # (levels, columns) of each of the others
    order: tuple[int, ...] = static()  # terms of the design, the eliminated one first

    def between(self, reml: bool) -> tuple[Between, ...]:
        return tuple(between(A, B, reml) for A, B in zip(self._blocks(), self.responses(), strict=True))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Levels of the eliminated factor and of each other one, and what the couplings count."""
        return len(self.A), *(J for J, _ in self.sizes), *self.couplings.lengths

    def extended(self, lengths: tuple[int, ...]) -> "Crossed":
        J, others, counts = lengths[0], lengths[1 : len(self.order)], lengths[len(self.order) :]
        sizes = tuple((more, q) for more, (_, q) in zip(others, self.sizes, strict=True))
        first = np.cumsum([0, *(more * q for more, q in sizes)])
        pairs = zip(first[:-1], self.sizes, strict=True)
        columns = np.concatenate([start + np.arange(levels * q) for start, (levels, q) in pairs])
        A_others = np.zeros((first[-1], first[-1]), self.A.dtype)
        A_others[np.ix_(columns, columns)] = self.A_others
        B_others = np.zeros((first[-1], self.B.shape[2]), self.B.dtype)
        B_others[columns] = self.B_others
        couplings = self.couplings.extended(J, columns, int(first[-1]), counts)
        A, B = pad_rows(self.A, J), pad_rows(self.B, J)
        return Crossed(A, B, couplings, A_others, B_others, sizes, self.order)

    def reduce(self, factors: Factors | list[Shifted], C: Float[Array, "c c"]) -> Reduced:
        if isinstance(factors[0], Shifted):
            return self._reduce_in_psi(factors, C)
        return self.solve(factors, C).reduced

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        return crossed_curvature(self, factors, directions, C)

    def solve(self, factors: Factors, C: Float[Array, "c c"]) -> Solved:
        """Eliminate all random effects, and keep what later solves can use again."""
        xp = namespace(factors[0], self.A, self.B)
        log_dets, K = eliminate(factors[self.order[0]], self.A)
        S = self._scaled(factors, self.A_others - self.couplings.fill(K))
        S = S + xp.eye(len(S), dtype=S.dtype)
        columns = self._columns(K)
        logdet, gram, inverse = logdet_gram(S, self._left(factors, columns))
        schur = C - xp.einsum("jic,jid->cd", self.B, K @ self.B) - gram
        return Solved(Reduced(log_dets.sum() + logdet, schur), K, columns, inverse)

    def _reduce_in_psi(self, factors: list[Shifted], C: Float[Array, "c c"]) -> Reduced:
        """Eliminate with derivatives in Psi, which need K_oo itself."""
        log_dets, K = eliminate(factors[self.order[0]], self.A)
        lower, columns = self.A_others - self.couplings.fill(K), self._columns(K)
        eye = jnp.eye(len(lower), dtype=lower.dtype)
        root, shift = (self._blockwise([factors[t][i] for t in self.order[1:]], eye) for i in range(2))
        logdet, K_others = eliminate_dense(root, shift, symmetric(lower))
        schur = C - jnp.einsum("jic,jid->cd", self.B, K @ self.B) - columns.T @ K_others @ columns
        return Reduced(log_dets.sum() + logdet, schur)

    def schur_of(self, factors: Factors, solved: Solved, C: Float[Array, "c c"]) -> Float[Array, "c c"]:
        """Return S for other columns than those of `solved`, at the same Lambda."""
        xp = namespace(solved.K, C)
        W = self._left(factors, self._columns(solved.K))
        return C - xp.einsum("jic,jid->cd", self.B, solved.K @ self.B) - W.T @ (solved.inverse @ W)

    def posterior(self, factors: Factors, C: Float[Array, "c c"]) -> CrossedPosterior:
        solved = self.solve(factors, C)
        return CrossedPosterior(solved.reduced, self, factors, solved)

    def modes_from(
        self, factors: Factors, solved: Solved, v: Float[Array, " c"]
    ) -> tuple[Float[Array, "J q"], ...]:
        """Return the conditional modes at the Lambda of `solved`."""
        score = self._left(factors, (solved.columns @ v)[:, None])
        b_others = self._left_transposed(factors, solved.inverse @ score)[:, 0]
        known = self.couplings.to_own(b_others[:, None])[:, :, 0]
        b = namespace(v, known).einsum("jik,jk->ji", solved.K, self.B @ v - known)
        return self._by_term(b, [piece.reshape(J, q) for piece, (J, q) in self._pieces(b_others)])

    def times(self, b: tuple[Float[Array, "J q m"], ...]) -> tuple[Float[Array, "J q m"], ...]:
        """Return Z'WZ b for random effects b, one array a term."""
        xp = namespace(self.A, *b)
        own, m = b[self.order[0]], b[0].shape[2]
        flat = xp.concatenate([b[t].reshape(-1, m) for t in self.order[1:]])
        own_product = self.A @ own + self.couplings.to_own(flat)
        others = self.A_others @ flat + self.A_others.T @ flat
        others = others - xp.diagonal(self.A_others)[:, None] * flat + self.couplings.to_others(own)
        return self._by_term(own_product, [x.reshape(J, q, m) for x, (J, q) in self._pieces(others)])

    def responses(self) -> tuple[Float[Array, "J q c"], ...]:
        """Return Z'W[X y], one array a term."""
        c = self.B.shape[2]
        return self._by_term(
            self.B, [piece.reshape(J, q, c) for piece, (J, q) in self._pieces(self.B_others)]
        )

    def with_responses(self, B: tuple[Float[Array, "J q m"], ...]) -> "Crossed":
        """Replace Z'W[X y] by Z'W times other columns, one array a term."""
        others = namespace(*B).concatenate([B[t].reshape(-1, B[t].shape[2]) for t in self.order[1:]])
        return eqx.tree_at(lambda s: (s.B, s.B_others), self, (B[self.order[0]], others))

    def _blocks(self) -> tuple[Float[Array, "J q q"], ...]:
        """Return Z'WZ of each level, one array a term."""
        others, first = [], 0
        for J, q in self.sizes:
            at = first + np.arange(J * q, dtype=np.int32).reshape(J, q)
            others.append(symmetric(self.A_others[at[:, :, None], at[:, None, :]]))
            first += J * q
        return self._by_term(self.A, others)

    def _columns(self, K):
        """Return B_o - sum_j A_oj K_j B_j, shape (D, c)."""
        return self.B_others - self.couplings.to_others(K @ self.B)

    def _pieces(self, flat):
        """Cut an array over o into one piece for each factor, with its (levels, columns)."""
        ends = np.cumsum([0, *(J * q for J, q in self.sizes)])
        return [(flat[a:b], size) for a, b, size in zip(ends[:-1], ends[1:], self.sizes, strict=True)]

    def _scaled(self, factors: Factors, lower):
        """Return the lower triangle of Lambda_o' A Lambda_o for symmetric A, given that of A."""
        xp = namespace(lower, *factors)
        if all(q == 1 for _, q in self.sizes):
            scale = xp.concatenate(
                [xp.full(J, factors[t][0, 0]) for t, (J, _) in zip(self.order[1:], self.sizes, strict=True)]
            )
            return lower * scale[:, None] * scale[None, :]
        return xp.tril(self._left(factors, self._left(factors, symmetric(lower)).T))

    def _left(self, factors: Factors, matrix):
        """Return Lambda_o' matrix."""
        return self._blockwise([factors[t].T for t in self.order[1:]], matrix)

    def _left_transposed(self, factors: Factors, matrix):
        """Return Lambda_o matrix."""
        return self._blockwise([factors[t] for t in self.order[1:]], matrix)

    def _blockwise(self, blocks, matrix):
        xp = namespace(matrix, *blocks)
        pieces = []
        for block, (piece, (J, q)) in zip(blocks, self._pieces(matrix), strict=True):
            product = block @ piece.reshape(J, q, -1) if q > 1 else block[0, 0] * piece
            pieces.append(product.reshape(J * q, matrix.shape[1]))
        return xp.concatenate(pieces)

    def _by_term(self, own, others: list) -> tuple:
        by_term = dict(zip(self.order, [own, *others], strict=True))
        return tuple(by_term[t] for t in sorted(by_term))
