"""Resampled clusters, as weights on the statistics of each.

Drawing J clusters with replacement is giving cluster j a multinomial weight m_j: it stands for m_j clusters
with the same rows. Every statistic is a sum over clusters, so that

    logdet = sum_j m_j logdet_j,     S = sum_j m_j S_j,     n = sum_j m_j n_j

and no data set is ever put together (Davison & Hinkley 1997, section 3.8).
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from ._assemble import assemble
from ._conditioning import Conditioned
from ._level_sums import columns, level_sums
from ._nested import Nested, NestedPatterns
from ._node import Node
from ._one_factor import OneFactor, Patterns
from ._patterns import same_rows
from ._plan import Plan
from ._structure import Structure
from ._suffstats import SuffStats
from ._types import Array, namespace, segment_sum

Weights = Float[Array, " J"]


class Clusters(Node):
    """The statistics of every cluster: the levels of the only factor, or of the outermost of nested ones.

    Attributes
    ----------
    whole
        Statistics of the data, every cluster once.
    C
        [Q u]'[Q u] of each cluster, shape (J, c, c).
    n, log_weights
        Rows and the sum of the logarithms of their weights in each, shape (J,).
    """

    whole: SuffStats
    C: Float[Array, "J c c"]
    n: Float[Array, " J"]
    log_weights: Float[Array, " J"]
    arrangement: "Arrangement"

    def weighted(self, m: Weights) -> SuffStats:
        """Return the statistics of m_j copies of each cluster; a pure function of JAX arrays."""
        xp = namespace(m, self.C)
        changed = (
            self.arrangement.weighted(m),
            xp.tensordot(m, self.C, 1),
            m @ self.n,
            m @ self.log_weights,
        )
        return eqx.tree_at(lambda s: (s.structure, s.C, s.n, s.log_weights), self.whole, changed)


class Arrangement(Node):
    """The cross products of each cluster with its random effects."""

    @abc.abstractmethod
    def weighted(self, m: Weights) -> Structure:
        """Return the structure of m_j copies of each cluster."""


class ByPattern(Arrangement):
    """Levels of one factor, B of shape (J, q c), merged by pattern."""

    pattern: Int[Array, " J"]
    A: Float[Array, "U q q"]
    B: Float[Array, "J qc"]

    def weighted(self, m: Weights) -> Patterns:
        U, q = self.A.shape[:2]
        c = self.B.shape[1] // q
        if U == 1:
            G = (self.B.T @ (m[:, None] * self.B))[None]
        else:
            G = segment_sum(m[:, None, None] * self.B[:, :, None] * self.B[:, None, :], self.pattern, U)
        counts = segment_sum(m[:, None], self.pattern, U)[:, 0]
        return Patterns(counts, self.A, G.reshape(U, q, c, q, c).swapaxes(2, 3))


class OfFamilies(Arrangement):
    """Nested factors: what a cluster adds is quadratic in its products with [Q u], which take root m_j."""

    nested: Nested
    cluster: tuple[Int[Array, " slots"], ...]

    def weighted(self, m: Weights) -> NestedPatterns:
        xp, c = namespace(m), self.nested.rows[-1].shape[2] - self.nested.rows[-1].shape[1]
        counts, rows = [], []
        for row, cluster in zip(self.nested.rows, self.cluster, strict=True):
            own = m[cluster]
            scale = xp.concatenate(
                [xp.ones((len(row), row.shape[2] - c)), xp.sqrt(own)[:, None] * xp.ones(c)], 1
            )
            rows.append(row * scale[:, None, :])
            counts.append(own)
        return NestedPatterns(tuple(counts), tuple(rows), self.nested.order)


def clusters(conditioned: Conditioned, plan: Plan, y: Float[np.ndarray, " n"]) -> Clusters:
    """Take the statistics apart by cluster.

    Raises
    ------
    ValueError
        If grouping factors are crossed, so that no clusters are independent of one another, or nested
        families differ so much in size that they are not padded.
    """
    whole = assemble(conditioned, plan, y, compress=False)
    structure = whole.structure
    outermost = min(conditioned.terms, key=lambda term: term.n_levels)
    if isinstance(structure, OneFactor):
        _, pattern, _ = same_rows(structure.A.reshape(len(structure.A), -1))
        first = np.unique(pattern, return_index=True)[1]
        arrangement = ByPattern(
            pattern.astype(np.int32), structure.A[first], structure.B.reshape(len(structure.B), -1)
        )
    elif isinstance(structure, Nested) and all(parent is None for parent in structure.parents):
        J = outermost.n_levels
        families = tuple(np.repeat(np.arange(J), len(row) // J).astype(np.int32) for row in structure.rows)
        arrangement = OfFamilies(structure, families)
    else:
        raise ValueError(
            "The grouping factors are crossed, or families of levels very unequal; clusters can be resampled "
            "where factors are nested, so use another kind of bootstrap."
        )
    sums = level_sums(conditioned, columns(conditioned, y), outermost)
    return Clusters(whole, sums.C, sums.n, sums.log_weights, arrangement)


def draw_weights(key: PRNGKeyArray, n_clusters: int, dtype: jnp.dtype) -> Weights:
    """Return how often each of J clusters is among J drawn with replacement."""
    drawn = jax.random.randint(key, (n_clusters,), 0, n_clusters)
    return jnp.zeros(n_clusters, dtype).at[drawn].add(1)
