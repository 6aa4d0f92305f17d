"""What the rows of each level of a factor add to the statistics: sums over rows, taken level by level."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._conditioning import Conditioned, condition_response
from ._design import RandomTerm
from ._types import Array, namespace, segment_sum


class LevelSums(NamedTuple):
    """Number of rows, sum of the logarithms of their weights, and [Q u]'[Q u], of each level.

    Attributes
    ----------
    n, log_weights
        Shape (J,).
    C
        Shape (J, c, c).
    """

    n: Float[np.ndarray, " J"]
    log_weights: Float[np.ndarray, " J"]
    C: Float[np.ndarray, "J c c"]


def columns(prepared: Conditioned, y: Float[Array, " n"]) -> Float[Array, "n c"]:
    """Return [Q u]."""
    u = condition_response(prepared, y).u
    return namespace(prepared.Q, u).concatenate([prepared.Q, u[:, None]], axis=1)


def level_sums(prepared: Conditioned, V: Float[np.ndarray, "n c"], term: RandomTerm) -> LevelSums:
    """Sum over the rows of each level of a term; V is `columns(prepared, y)`."""
    codes, J, root = term.codes, term.n_levels, prepared.root_weights
    log_weights = np.zeros(J) if root is None else 2 * segment_sum(np.log(root), codes, J)
    C = np.stack([segment_sum(V[:, a, None] * V, codes, J) for a in range(V.shape[1])], axis=1)
    return LevelSums(np.bincount(codes, minlength=J).astype(V.dtype), log_weights, C)
