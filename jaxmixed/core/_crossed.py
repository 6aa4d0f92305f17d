"""Any other arrangement of grouping factors: eliminate the largest, keep the others dense.

With e the factor of most levels and o all others side by side,

    S_oo = Lambda_o'(A_oo - sum_j A_oj K_j A_jo)Lambda_o + I,     j over the levels of e,

is factored once for each theta. A_jo is sparse: it is kept as a list of entries, one for every level of e and column of o that
meet in a row, and the products A_oj K_j A_jo as a list of pairs of entries of the same level.
Nothing of size n x D or J x D is formed.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._dense import logdet_gram
from ._design import RandomTerm
from ._structure import Factors, Levels, Plan, Reduced, eliminate
from ._types import Array, namespace, segment_sum

Sizes = tuple[tuple[int, int], ...]


class Couplings(eqx.Module):
    """A_eo in sparse form: entries sorted by level, and the pairs of entries within each level.

    Attributes
    ----------
    level, column, value
        Level of e, column of o and z_e'W z_o of each entry; value has shape (E, q).
    pair_level, pair_cell, pair_value
        Level, position in the lower triangle of a D x D matrix (flattened) and outer product of the
        values of each pair, shapes (P,), (P,) and (P, q, q).
    """

    level: Int[Array, " E"]
    column: Int[Array, " E"]
    value: Float[Array, "E q"]
    pair_level: Int[Array, " P"]
    pair_cell: Int[Array, " P"]
    pair_value: Float[Array, "P q q"]


class Crossed(Levels):
    """Cross products of crossed factors: the eliminated one in blocks, the others dense."""

    A: Float[Array, "J q q"]
    B: Float[Array, "J q c"]
    couplings: Couplings
    A_others: Float[Array, "D D"]
    B_others: Float[Array, "D c"]
    sizes: Sizes = eqx.field(static=True)  # (levels, columns) of each of the others
    order: tuple[int, ...] = eqx.field(static=True)  # terms of the design, the eliminated one first

    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        return self.solve(factors, C)[0]

    def solve(self, factors: Factors, C: Float[Array, "c c"]):
        """Return (Reduced, K, reduced columns of o, S_oo^-1)."""
        xp = namespace(factors[0], self.A)
        log_dets, K = eliminate(factors[self.order[0]], self.A)
        links, D = self.couplings, len(self.A_others)
        filled = (K[links.pair_level] * links.pair_value).sum((1, 2))
        S = self.A_others - segment_sum(filled, links.pair_cell, D * D).reshape(D, D)
        S = self._left(factors, self._left(factors, _symmetric(S)).T) + xp.eye(D, dtype=S.dtype)
        reduced = self._reduced(K)
        logdet, gram, inverse = logdet_gram(S, self._left(factors, reduced))
        schur = C - xp.einsum("jic,jid->cd", self.B, K @ self.B) - gram
        return Reduced(log_dets.sum() + logdet, schur), K, reduced, inverse

    def schur_from(self, factors: Factors, C: Float[Array, "c c"], K, inverse) -> Float[Array, "c c"]:
        """Return S for other columns than those that `solve` was given, from its K and S_oo^-1."""
        xp = namespace(K, C)
        KB, W = K @ self.B, self._left(factors, self._reduced(K))
        return C - xp.einsum("jic,jid->cd", self.B, KB) - W.T @ (inverse @ W)

    def modes(self, factors: Factors, v: Float[Array, " c"]) -> tuple[Float[Array, "J q"], ...]:
        xp = namespace(v, self.A)
        C = xp.zeros((len(v), len(v)), v.dtype)
        _, K, reduced, inverse = self.solve(factors, C)
        return self.modes_from(factors, K, reduced, inverse, v)

    def modes_from(self, factors: Factors, K, reduced, inverse, v) -> tuple[Float[Array, "J q"], ...]:
        """Return the conditional modes from the parts that `solve` returned."""
        xp = namespace(v, K)
        others = self._left_transposed(factors, inverse @ self._left(factors, (reduced @ v)[:, None]))
        b_others = others[:, 0]
        links = self.couplings
        known = segment_sum(links.value * b_others[links.column][:, None], links.level, len(self.A))
        b = xp.einsum("jik,jk->ji", K, self.B @ v - known)
        return self._by_term(b, [piece.reshape(J, q) for piece, (J, q) in self._pieces(b_others)])

    def mode_covariances(self, factors: Factors) -> tuple[Float[Array, "J q q"], ...]:
        xp = namespace(factors[0], self.A)
        c = self.B.shape[2]
        _, K, _, inverse = self.solve(factors, xp.zeros((c, c), self.A.dtype))
        joint = self._left_transposed(factors, self._left_transposed(factors, inverse).T)
        links, D = self.couplings, len(self.A_others)
        at_pairs = joint.reshape(-1)[links.pair_cell][:, None, None] * links.pair_value
        # A pair off the diagonal stands for two equal terms, transposes of each other.
        twice = xp.where(links.pair_cell // D == links.pair_cell % D, 0.5, 1.0).astype(K.dtype)
        half = segment_sum(at_pairs * twice[:, None, None], links.pair_level, len(self.A))
        own = K + K @ (half + xp.swapaxes(half, 1, 2)) @ K
        others, first = [], 0
        for J, q in self.sizes:
            block = joint[first : first + J * q, first : first + J * q].reshape(J, q, J, q)
            others.append(xp.einsum("jajb->jab", block))
            first += J * q
        return self._by_term(own, others)

    def times(self, b: tuple[Float[Array, "J q *m"], ...]) -> tuple[Float[Array, "J q *m"], ...]:
        """Return Z'WZ b for random effects b, one array a term."""
        xp = namespace(self.A, *b)
        own, tail = b[self.order[0]], b[0].shape[2:]
        flat = xp.concatenate([b[t].reshape(-1, *tail) for t in self.order[1:]])
        links = self.couplings
        to_own = xp.einsum("eq,e...->eq...", links.value, flat[links.column])
        to_others = xp.einsum("eq,eq...->e...", links.value, own[links.level])
        own_product = xp.einsum("jik,jk...->ji...", self.A, own)
        own_product = own_product + segment_sum(to_own, links.level, len(self.A))
        others = _symmetric(self.A_others) @ flat + segment_sum(to_others, links.column, len(flat))
        pieces = [piece.reshape(J, q, *tail) for piece, (J, q) in self._pieces(others)]
        return self._by_term(own_product, pieces)

    def responses(self) -> tuple[Float[Array, "J q c"], ...]:
        """Return Z'W[X y], one array a term."""
        c = self.B.shape[2]
        return self._by_term(self.B, [piece.reshape(J, q, c) for piece, (J, q) in self._pieces(self.B_others)])

    def with_responses(self, B: tuple[Float[Array, "J q m"], ...]) -> "Crossed":
        """Replace Z'W[X y] by Z'W times other columns, one array a term."""
        others = namespace(*B).concatenate([B[t].reshape(-1, B[t].shape[2]) for t in self.order[1:]])
        return eqx.tree_at(
            lambda s: (s.B, s.B_others), self, (B[self.order[0]], others)
        )

    def _reduced(self, K):
        """Return B_o - sum_j A_oj K_j B_j, shape (D, c)."""
        links = self.couplings
        through = namespace(K).einsum("eq,eqc->ec", links.value, (K @ self.B)[links.level])
        return self.B_others - segment_sum(through, links.column, len(self.A_others))

    def _pieces(self, flat):
        """Cut an array over o into one piece for each factor, with its (levels, columns)."""
        ends = np.cumsum([0, *(J * q for J, q in self.sizes)])
        return [(flat[a:b], size) for a, b, size in zip(ends[:-1], ends[1:], self.sizes, strict=True)]

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


def _symmetric(lower):
    """Return the symmetric matrix with this lower triangle; what is above it is ignored."""
    xp = namespace(lower)
    below = xp.tril(lower, -1)
    return below + below.T + xp.diag(xp.diagonal(lower))
