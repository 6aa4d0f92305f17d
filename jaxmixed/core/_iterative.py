"""Crossed factors too large for a dense Schur complement: products with it are all that is asked for.

    logdet = sum_j log|M_j| + log|P| + log|B|,        schur = C - sum_j B_j'K_jB_j - w'B^-1w

with e eliminated as for crossed factors, P the blocks of S_oo that belong to single levels, B the rest and
w = L^-1 Lambda_o'(B_o - A_oe K B_e). One run of conjugate gradients solves for w and for the probes that
log|B| is estimated from, all columns side by side. schur, and all that follows from it, is exact to the
tolerance of that run; logdet has a Monte Carlo error, the same function of theta at every call.
"""

from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from ._between import Between, between
from ._crossed import Crossed
from ._elimination import Shifted
from ._host import on_host
from ._iterative_curvature import iterative_curvature
from ._iterative_posterior import IterativePosterior, iterative_posterior
from ._krylov import Columns, Krylov, solve
from ._node import static
from ._probes import Probes, gram, logarithms, probes, signs
from ._scaled_schur import Crossings, ScaledSchur, scaled_schur
from ._structure import Curvature, Directions, Factors, Levels, Reduced
from ._types import Array


class Solved(NamedTuple):
    """The random effects eliminated, and what was made on the way.

    Attributes
    ----------
    reduced
        What the criterion needs.
    B
        The scaled Schur complement.
    x
        B^-1 w for every column of [X y].
    probes, solutions, logarithms
        What log|B| is estimated from: columns w, B^-1 w, and w'log(B)w.
    krylov
        How the solutions were reached.
    """

    reduced: Reduced
    B: ScaledSchur
    x: Columns
    probes: Probes
    solutions: Columns
    logarithms: Float[Array, " s"]
    krylov: Krylov


class IterativeCrossed(Levels):
    """Cross products of crossed factors, for iterative methods."""

    crossings: Crossings
    B: Float[Array, "J q c"]
    B_others: Columns
    known: Columns  # directions in which the Schur complement is far from its own blocks
    seed: Int[Array, ""]  # of the signs
    order: tuple[int, ...] = static()  # terms of the design, the eliminated one first
    n_probes: int = static()

    def between(self, reml: bool) -> tuple[Between, ...]:
        others = zip(self.crossings.A_others, self.B_others, strict=True)
        return self.by_term(between(self.crossings.A, self.B, reml), [between(A, B, reml) for A, B in others])

    @property
    def lengths(self) -> tuple[int, ...]:
        return ()

    def extended(self, lengths: tuple[int, ...]) -> "IterativeCrossed":
        return self

    @on_host
    def reduce(self, factors: Factors, C: Float[Array, "c c"]) -> Reduced:
        if isinstance(factors[0], Shifted):
            raise ValueError("Found an iterative solver, which takes Lambda; expected a direct one for Psi.")
        return self.solve(factors, C).reduced

    def curvature(self, factors: Factors, directions: Directions, C: Float[Array, "c c"]) -> Curvature:
        return iterative_curvature(self, factors, directions, C)

    def posterior(self, factors: Factors, C: Float[Array, "c c"]) -> IterativePosterior:
        return iterative_posterior(self, factors, C)

    def solve(self, factors: Factors, C: Float[Array, "c c"]) -> Solved:
        """Eliminate all random effects, and keep what later solves can use again."""
        logdet, B, turned = scaled_schur(self.crossings, [factors[t] for t in self.order])
        w = B.onto(self.B, self.B_others)
        known = tuple(L @ u for L, u in zip(turned, self.known, strict=True))
        tried = probes(known, signs(self.crossings.sizes, self.n_probes, self.seed, self.B.dtype))
        joint = tuple(jnp.concatenate(pair, axis=2) for pair in zip(w, tried.columns, strict=True))
        found, krylov = solve(B, joint)
        c = len(C)
        x, solutions = (tuple(part[:, :, piece] for part in found) for piece in (slice(c), slice(c, None)))
        logs = logarithms(B, tried.columns, solutions, krylov.of(slice(c, None)))
        reduced = Reduced(logdet + tried.weights @ logs, self._eliminated(B, w, x, C))
        return Solved(reduced, B, x, tried, solutions, logs, krylov)

    def schur_of(self, factors: Factors, solved: Solved, C: Float[Array, "c c"]) -> Float[Array, "c c"]:
        """Return S for other columns than those of `solved`, at the same Lambda."""
        w = solved.B.onto(self.B, self.B_others)
        x, _ = solve(solved.B, w)
        return self._eliminated(solved.B, w, x, C)

    def modes_from(
        self, factors: Factors, solved: Solved, v: Float[Array, " c"]
    ) -> tuple[Float[Array, "J q"], ...]:
        """Return the conditional modes at the Lambda of `solved`."""
        x, own = tuple((part @ v)[:, :, None] for part in solved.x), (self.B @ v)[:, :, None]
        others = solved.B.effects(x)
        b = solved.B.K @ (own - self.crossings.to_own(others))
        return self.by_term(b[:, :, 0], [part[:, :, 0] for part in others])

    def times(self, b: Columns) -> Columns:
        """Return Z'WZ b for random effects b, one array a term."""
        own, others = b[self.order[0]], tuple(b[t] for t in self.order[1:])
        met = zip(self.crossings.within_others(others), self.crossings.to_others(own), strict=True)
        return self.by_term(self.crossings.A @ own + self.crossings.to_own(others), [x + y for x, y in met])

    def responses(self) -> Columns:
        """Return Z'W[X y], one array a term."""
        return self.by_term(self.B, self.B_others)

    def with_responses(self, B: Columns) -> "IterativeCrossed":
        """Replace Z'W[X y] by Z'W times other columns, one array a term."""
        others = tuple(B[t] for t in self.order[1:])
        return eqx.tree_at(lambda s: (s.B, s.B_others), self, (B[self.order[0]], others))

    def by_term(self, own, others) -> tuple:
        """Put what belongs to e and to the others in the order of the design's terms."""
        by_term = dict(zip(self.order, [own, *others], strict=True))
        return tuple(by_term[t] for t in sorted(by_term))

    def _eliminated(self, B: ScaledSchur, w: Columns, x: Columns, C: Float[Array, "c c"]):
        return C - jnp.einsum("jic,jid->cd", self.B, B.K @ self.B) - gram(B, w, x)


AnyCrossed: TypeAlias = Crossed | IterativeCrossed  # both answer `solve`, `modes_from`, `times`, `schur_of`
