"""The model as arrays: what is observed, before any arithmetic.

    y = X beta + sum_t Z_t b_t + offset + e,   b_t ~ N(0, sigma^2 I (x) Lambda_t Lambda_t'),
    e ~ N(0, sigma^2 W^-1)

Z_t is never formed: a factor keeps the n x q matrix z of its covariates and the level of each row.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._node import Node, static
from ._types import Array, Codes, Scalar, run_starts


class RandomTerm(Node):
    """The random effects of one grouping factor.

    All terms of a formula that share a grouping factor are one `RandomTerm`, their columns side by
    side and their relative covariance factor block diagonal.

    Attributes
    ----------
    z
        Covariates, shape (n, q). A random intercept is a column of ones.
    codes
        Level of each row, integers in 0, ..., n_levels - 1, shape (n,).
    n_levels
        Number of levels J; every level should occur.
    blocks
        Sizes of the independent diagonal blocks of the relative covariance factor, summing to q:
        `(q,)` is unstructured, `(1,) * q` is diagonal.
    """

    z: Float[Array, "n q"]
    codes: Codes
    n_levels: int = static()
    blocks: tuple[int, ...] = static()

    def __post_init__(self):
        q = self.z.shape[-1]
        if sum(self.blocks) != q:
            raise ValueError(
                f"blocks {self.blocks} sum to {sum(self.blocks)}, but z has {q} columns; they must agree."
            )

    @cached_property
    def starts(self) -> Int[np.ndarray, " J"] | None:
        """First row of each level where rows come level by level, else `None`."""
        return run_starts(np.asarray(self.codes), self.n_levels)


class Totals(NamedTuple):
    """What rows that stand for others no longer say: how many those were, and their weights.

    Attributes
    ----------
    n
        Number of rows.
    log_weights
        Sum of the logarithms of their prior weights.
    """

    n: Scalar
    log_weights: Scalar


class Design(Node):
    """Response, fixed-effects matrix and random terms of one model.

    Attributes
    ----------
    y
        Response, shape (n,).
    X
        Fixed-effects matrix of full column rank, shape (n, p).
    terms
        One `RandomTerm` for each grouping factor.
    weights
        Prior weights w, positive, shape (n,): the residual variance of row i is sigma^2 / w_i.
        `None` means ones.
    offset
        Known part of the mean, shape (n,). `None` means zeros.
    totals
        Of the rows that those of the design stand for, as `Cells` makes them; `None` where each stands for
        itself.
    """

    y: Float[Array, " n"]
    X: Float[Array, "n p"]
    terms: tuple[RandomTerm, ...]
    weights: Float[Array, " n"] | None = None
    offset: Float[Array, " n"] | None = None
    totals: Totals | None = None

    def __post_init__(self):
        n = self.X.shape[0]
        for name, array in [("y", self.y), ("weights", self.weights), ("offset", self.offset)]:
            if array is not None and array.shape != (n,):
                raise ValueError(f"{name} has shape {array.shape}, but X has {n} rows; expected ({n},).")
        for t, term in enumerate(self.terms):
            if term.z.shape[0] != n or term.codes.shape != (n,):
                raise ValueError(
                    f"terms[{t}] has z of shape {term.z.shape} and codes of shape {term.codes.shape}, "
                    f"but X has {n} rows; expected ({n}, q) and ({n},)."
                )
