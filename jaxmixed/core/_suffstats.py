"""Design -> SuffStats: the rows are read once, here.

    Design -> condition -> plan -> suffstats
              (Q, R, z~, T)  (who is nested, crossed, alike)  (cross products with y)

Everything that follows, the criterion and its derivatives, the estimates and their covariance, costs
nothing that depends on the number of rows.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ._conditioning import Conditioned, condition, condition_response, solve_upper
from ._covariance import Blocks, pack_all, relative_factors
from ._crossed_plan import CrossedPlan
from ._design import Design
from ._nested_plan import NestedPlan, nesting_order
from ._one_factor import OneFactorPlan
from ._structure import Plan, Structure
from ._types import Array, Scalar, Theta, namespace


class SuffStats(eqx.Module):
    """Sufficient statistics of a linear mixed model, in conditioned coordinates.

    Attributes
    ----------
    structure
        Cross products of the random effects with themselves and with [Q u].
    C
        [Q u]'[Q u], shape (c, c).
    R, gamma_ols, scale, T
        What carries results back: X = Q R, y - offset = Q gamma_ols + scale * u and z = z~ T.
    n, log_weights
        Number of rows, and the sum of the logarithms of the prior weights.
    blocks
        For each grouping factor, the block sizes of its relative covariance factor.
    """

    structure: Structure
    C: Float[Array, "c c"]
    R: Float[Array, "p p"]
    gamma_ols: Float[Array, " p"]
    scale: Scalar
    T: tuple[Float[Array, "q q"], ...]
    n: Scalar
    log_weights: Scalar
    blocks: tuple[Blocks, ...] = eqx.field(static=True)

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.R.shape[0]


def suffstats(design: Design) -> SuffStats:
    """Return the sufficient statistics of a design, every level kept.

    On NumPy arrays this runs at once. On JAX arrays it is differentiable in y, X, z, weights and
    offset; the codes must be concrete.

    Parameters
    ----------
    design
        Response, fixed-effects matrix of full column rank, and random terms.

    Returns
    -------
    SuffStats
        What `criterion`, `fit` and `ranef` read.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.arange(12.0) % 5, np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> core.suffstats(design).C.shape
    (2, 2)
    """
    prepared = condition(design)
    return assemble(prepared, plan(prepared), design.y, compress=False)


def compress(design: Design) -> SuffStats:
    """Return the smallest sufficient statistics of a design: levels that repeat a pattern are merged.

    Enough for `criterion` and `fit`; `ranef` needs `suffstats`.
    """
    prepared = condition(design)
    return assemble(prepared, plan(prepared), design.y, compress=True)


def plan(prepared: Conditioned) -> Plan:
    """Choose the arrangement: one factor, nested factors, or crossed factors."""
    terms = prepared.terms
    if not terms:
        raise ValueError("A mixed model needs at least one random term; the design has none.")
    if len(terms) == 1:
        return OneFactorPlan.build(terms[0], prepared.Q.shape[1] + 1)
    order = nesting_order(terms)
    return CrossedPlan.build(terms) if order is None else NestedPlan.build(terms, order)


def assemble(prepared: Conditioned, plan: Plan, y: Float[Array, " n"], *, compress: bool) -> SuffStats:
    """Bring a response together with a design that has been conditioned and planned."""
    response = condition_response(prepared, y)
    xp = namespace(response.u, prepared.Q)
    V = xp.concatenate([prepared.Q, response.u[:, None]], axis=1)
    return SuffStats(
        structure=plan.compressed(V) if compress else plan.attach(V),
        C=V.T @ V,
        R=prepared.R,
        gamma_ols=response.gamma_ols,
        scale=response.scale,
        T=prepared.T,
        n=np.asarray(float(len(y)), prepared.Q.dtype),
        log_weights=prepared.log_weights,
        blocks=tuple(term.blocks for term in prepared.terms),
    )


def conditioned_factors(theta: Theta, stats: SuffStats) -> list[Float[Array, "q q"]]:
    """Return T Lambda(theta) of each factor."""
    return [T @ L for T, L in zip(stats.T, relative_factors(theta, stats.blocks), strict=True)]


def conditioned(theta: Theta, stats: SuffStats) -> Theta:
    """Return theta in the coordinates of z~."""
    return pack_all(conditioned_factors(theta, stats), stats.blocks)


def unconditioned(theta: Theta, stats: SuffStats) -> Theta:
    """Return theta in the coordinates of z, undoing `conditioned`."""
    factors = relative_factors(theta, stats.blocks)
    return pack_all([solve_lower(T, L) for T, L in zip(stats.T, factors, strict=True)], stats.blocks)


def solve_lower(L: Float[Array, "q q"], b: Float[Array, "q *m"]) -> Float[Array, "q *m"]:
    """Solve L x = b for one lower-triangular L, by the upper-triangular solve of both reversed."""
    return solve_upper(L[::-1, ::-1], b[::-1])[::-1]
